"""Checks of source settings against format and store: a delimiter of JSON, a Secret of a claim."""

from collections.abc import Iterator
from typing import NamedTuple

from finetune_api.addresses import addresses, data_sources
from finetune_api.data import DataFormat, DataSource, Quoting
from finetune_api.failures import Problem
from finetune_api.file_formats import known_format
from finetune_api.output import Predict
from finetune_api.spec import Spec
from finetune_api.uris import CLAIM_SCHEME, CONFIG_MAP_SCHEME, hub_data_set

_UTF_8 = ("", "utf-8")


class _Setting(NamedTuple):
    """A file setting, and the formats that have it."""

    name: str
    value: str
    formats: frozenset[DataFormat]


_OF_TEXT = frozenset(DataFormat) - {DataFormat.PARQUET}
_OF_CSV = frozenset({DataFormat.CSV, DataFormat.AUTO})


def source_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each source setting that its format or store ignores."""
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
    """File settings that differ from the default."""
    if block.encoding.lower() not in _UTF_8:
        yield _Setting("encoding", block.encoding, _OF_TEXT)
    if block.delimiter:
        yield _Setting("delimiter", block.delimiter, _OF_CSV)
    if isinstance(block, DataSource) and block.quoting is not Quoting.AUTO:
        yield _Setting("quoting", block.quoting, _OF_CSV)


def _is_whole_data_set(uri: str) -> bool:
    """Whether `uri` is a data set of the hub, rather than one file of it."""
    found = hub_data_set(uri)
    return found is not None and not found.file


def _of_the_hub(place: str, source: DataSource) -> Iterator[Problem]:
    found = hub_data_set(source.uri)
    for name in ("split", "subset"):
        value = getattr(source, name)
        if found is not None and found.file and value:
            message = f"{found.file} is one file, which has no {name} {value!r}"
            yield Problem(message, f"{place}.{name}", "remove it, or name the data set without the file")
