"""Data sets and single files on the Hugging Face hub. Imported on demand: `datasets` loads slowly."""

from collections.abc import Iterator
from pathlib import Path

from datasets import Dataset, get_dataset_split_names, load_dataset
from huggingface_hub import hf_hub_download

from finetune_api.data import DataSource
from finetune_api.data_report import Place
from finetune_api.failures import DataNotFound, SpecInvalid
from finetune_api.uris import DATA_SET_SCHEME, HubDataSet, hub_data_set
from finetune_trainer.data.reading.class_names import named, unpackers
from finetune_trainer.data.reading.files import TellSplit
from finetune_trainer.data.reading.hub_failures import hub_failures
from finetune_trainer.data.reading.rows import Row
from finetune_trainer.data.reading.split_names import SPLIT_NAMES, place_of


def parse_hub_uri(uri: str) -> HubDataSet:
    """Parse `hf://datasets/owner/name[/file]` (old data sets have no owner). Raises `SpecInvalid` for other shapes."""
    named_there = hub_data_set(uri)
    if named_there is None or not named_there.repository:
        raise SpecInvalid(f"{uri!r} names no data set on the hub", hint="write hf://datasets/OWNER/NAME[/FILE]")
    return named_there


def fetch_file(wanted: HubDataSet, revision: str, field: str, token: str | None) -> Path:
    """Download one file (or find it in the hub's cache)."""
    with hub_failures(f"{DATA_SET_SCHEME}{wanted.repository}/{wanted.file}", field):
        return Path(
            hf_hub_download(wanted.repository, wanted.file, repo_type="dataset", revision=revision or None, token=token)
        )


def read_data_set(
    repository: str, source: DataSource, place: str, field: str, token: str | None, *, tell_split: TellSplit
) -> Iterator[Row]:
    """Read the rows of one split; class ids become class names of the data set."""
    which = {"revision": source.revision or None, "token": token}
    with hub_failures(source.uri, field):
        names = get_dataset_split_names(repository, source.subset or None, **which)
    split = source.split or _fitting(names, place, source.uri, field)
    base_name = split.partition("[")[0]
    if base_name not in names and "+" not in split:
        raise DataNotFound(
            f"{source.uri} has no split {base_name!r}", where=f"{field}.split", hint=f"it has: {', '.join(names)}"
        )
    for name in names:
        if place_of(name) not in ("", place) and name not in source.split:
            tell_split(place_of(name), f"{repository}/{name}")
    with hub_failures(source.uri, field):
        rows: Dataset = load_dataset(repository, source.subset or None, split=split, **which)
    unpack = unpackers(rows.features.to_dict())
    for number, values in enumerate(rows, start=1):
        yield Row(named(values, unpack), Place(file=f"{repository}/{split}", line=number))


def _fitting(names: list[str], place: str, uri: str, field: str) -> str:
    fitting = [name for name in SPLIT_NAMES.get(place, ()) if name in names]
    if fitting:
        return fitting[0]
    if place == "train" and len(names) == 1:
        return names[0]
    raise DataNotFound(f"{uri} has no split for {place}", where=f"{field}.split", hint=f"it has: {', '.join(names)}")
