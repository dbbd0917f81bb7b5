"""Held-out rows alone, where labels and columns are known: nothing is split or trained."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic.alias_generators import to_camel

from finetune_api.checks.evaluation import group_column
from finetune_api.data import DataSource
from finetune_api.data_report import BadRow, DataReport
from finetune_api.spec import Spec
from finetune_api.tasks import ProblemType
from finetune_trainer.data.describe import split_report
from finetune_trainer.data.labelled import digest, examples
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.prepare import usable
from finetune_trainer.data.prepared import Prepared, RowsRead
from finetune_trainer.data.reading.loading import Reading, load, paths_of
from finetune_trainer.data.shapes import SHAPES
from finetune_trainer.data.splits import TEST
from finetune_trainer.storage import Site

_EXAMPLES = 20


def prepare_test_rows(spec: Spec, site: Site, progress: Callable[[str], None]) -> Prepared:
    """The rows of `data.test` as the only split; the spec has the labels. Raises as `prepare` does."""
    shape = SHAPES[spec.task](spec.data, group_column(spec))
    labels = spec.data.labels
    known = LabelSpace(labels.problem_type, tuple(labels.names))
    how = Reading(site, shape, progress, paths=paths_of(spec.data.columns, group_column(spec)))
    return read_split(spec.data.test, TEST, how, spec.data.max_bad_row_ratio, known)


def read_split(sources: Sequence[DataSource], place: str, how: Reading, allowed: float, space: LabelSpace) -> Prepared:
    """All usable rows of one place as its split; `space` is the label space, not all of which must occur."""
    loaded = load(sources, place, how)
    reader = how.shape.reader([record.label for record in loaded.records])
    rows = usable(loaded, reader, allowed)
    is_plain = space.problem_type is ProblemType.AUTO
    report = DataReport(
        files=list(loaded.files),
        rows_read=loaded.rows_read,
        bad_rows=len(loaded.bad),
        bad_row_examples=[BadRow(place=bad.place, reason=bad.reason) for bad in loaded.bad[:_EXAMPLES]],
        bad_row_reasons=dict(Counter(bad.kind for bad in loaded.bad).most_common()),
        splits={place: split_report(rows, space)},
        columns={to_camel(role): column for role, column in how.shape.roles.items()},
        problem_type="" if is_plain else space.problem_type.value,
        label_names=list(space.names),
    )
    read = {place: RowsRead(loaded.rows_read, tuple(loaded.bad))}
    return Prepared({place: examples(rows, space)}, space, report, digest({place: rows}), read)


def only_measured(prepared: Prepared) -> Prepared:
    """The data with the test rows alone, without training rows."""
    splits, reports = prepared.splits, prepared.report.splits
    report = prepared.report.model_copy(update={"splits": {TEST: reports[TEST]}})
    return replace(prepared, splits={TEST: splits[TEST]}, report=report)
