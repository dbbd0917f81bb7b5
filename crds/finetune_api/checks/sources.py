"""Settings of files and stores that format or address have no use for: a delimiter of JSON, a Secret of a claim."""

from collections.abc import Iterator
from typing import NamedTuple

from finetune_api.addresses import addresses
from finetune_api.data import DataFormat, DataSource, Quoting
from finetune_api.failures import Problem
from finetune_api.file_formats import known_format
from finetune_api.output import Predict
from finetune_api.spec import Spec
from finetune_api.uris import CLAIM_SCHEME, CONFIG_MAP_SCHEME

_DATA_SETS = "hf://datasets/"
_OWNER_AND_NAME = 2
_UTF_8 = ("", "utf-8")


class _Setting(NamedTuple):
    """A setting of files that says something, and the formats that have it."""

    name: str
    value: str
    formats: frozenset[DataFormat]


_OF_TEXT = frozenset(DataFormat) - {DataFormat.PARQUET}
_OF_CSV = frozenset({DataFormat.CSV, DataFormat.AUTO})


def source_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each setting of a source that its format, its place or its store has no use for."""
    for place, source in data_sources(spec):
        yield from _of_files(place, source.uri, source)
        yield from _of_the_hub(place, source)
    if spec.predict is not None:
        yield from _of_files("spec.predict", spec.predict.input, spec.predict)
    for it in addresses(spec):
        if it.secret_ref is not None and it.uri.startswith((CLAIM_SCHEME, CONFIG_MAP_SCHEME)):
            scheme = it.uri.partition("://")[0]
            message = f"{it.secret_ref.name} opens nothing: {scheme}:// is mounted by Kubernetes, without credentials"
            yield Problem(message, f"{it.block}.secretRef", "remove it")


def data_sources(spec: Spec) -> Iterator[tuple[str, DataSource]]:
    """Yield each source of rows with its path."""
    places = {f"spec.data.{name}": getattr(spec.data, name) for name in ("train", "validation", "test")}
    for place, sources in {**places, "spec.evaluation.retention.data": spec.evaluation.retention.data}.items():
        yield from ((f"{place}[{index}]", source) for index, source in enumerate(sources))


def _of_files(place: str, uri: str, block: DataSource | Predict) -> Iterator[Problem]:
    if _is_whole_data_set(uri):
        given = [*_settings(block), *([_Setting("format", block.format, frozenset())] if _has_format(block) else [])]
        for setting in given:
            message = f"{setting.value!r} is about files, and the hub's library reads this data set"
            yield Problem(message, f"{place}.{setting.name}", f"remove it, or name one file: {uri.rstrip('/')}/FILE")
        return
    form = block.format if _has_format(block) else known_format(uri)
    for setting in _settings(block):
        if form is not None and form not in setting.formats:
            users = "CSV files" if setting.formats is _OF_CSV else "text files"
            message = f"{setting.value!r} is a setting of {users}, and the format here is {form}"
            yield Problem(message, f"{place}.{setting.name}", "remove it, or correct format")


def _has_format(block: DataSource | Predict) -> bool:
    return block.format is not DataFormat.AUTO


def _settings(block: DataSource | Predict) -> Iterator[_Setting]:
    """The settings of files that are not left as they are."""
    if block.encoding.lower() not in _UTF_8:
        yield _Setting("encoding", block.encoding, _OF_TEXT)
    if block.delimiter:
        yield _Setting("delimiter", block.delimiter, _OF_CSV)
    if isinstance(block, DataSource) and block.quoting is not Quoting.AUTO:
        yield _Setting("quoting", block.quoting, _OF_CSV)


def _is_whole_data_set(uri: str) -> bool:
    """Whether `uri` is a data set of the hub, rather than one file of it."""
    return uri.startswith(_DATA_SETS) and not _file_on_hub(uri)


def _file_on_hub(uri: str) -> str:
    parts = [part for part in uri.removeprefix(_DATA_SETS).split("/") if part]
    return "/".join(parts[_OWNER_AND_NAME:])


def _of_the_hub(place: str, source: DataSource) -> Iterator[Problem]:
    file = _file_on_hub(source.uri) if source.uri.startswith(_DATA_SETS) else ""
    for name in ("split", "subset"):
        value = getattr(source, name)
        if file and value:
            message = f"{file} is one file, which has no {name} {value!r}"
            yield Problem(message, f"{place}.{name}", "remove it, or name the data set without the file")
