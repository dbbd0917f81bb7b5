"""Splits that the training sources hold and that no source of the job reads. Pure."""

from collections.abc import Iterator, Mapping

from finetune_api.data import Data
from finetune_trainer.data.reading.loading import Loaded
from finetune_trainer.data.splits import TEST, TRAIN, VALIDATION

_NAMED = 3


def unread_splits(data: Data, loaded: Mapping[str, Loaded]) -> Iterator[str]:
    """Warnings about validation and test rows beside the training rows, where the job names no source for them."""
    read = {name for part in loaded.values() for name in part.files}
    shares = {VALIDATION: data.split.validation, TEST: data.split.test}
    for split, share in shares.items():
        others = loaded[TRAIN].other_splits.get(split, {})
        left = {where: source for where, source in others.items() if where not in read}
        if split in loaded or not left:
            continue
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        instead = f"{share:.0%} of the training rows are split off" if share else f"there are no {split} rows"
        named = ", ".join(list(left)[:_NAMED])
        yield (
            f"{named}{more} beside the training rows is not read, and {instead}: for {split} rows"
            f" from there, set data.{split}: [{{uri: {next(iter(left.values()))}}}]."
        )
