"""The page of tasks and methods, with what is built and what is planned."""

from finetune_api.fields import fields
from finetune_api.reference.markdown import table
from finetune_api.resolved import DEFAULTS
from finetune_api.tasks import BUILT, MethodType, Task

_INTRODUCTION = """\
# Tasks and methods

The API names all of these. What is not built yet is refused with the failure `NotBuiltYet` before anything runs; it is
never ignored.

"""
_DEFAULTS = """
## Defaults

What a job leaves out is set by its task and method. The values in force are in `status.resolved` and in the report.

"""


def methods_page() -> str:
    """Task by method, the defaults of what is built, and the fields of each method, as Markdown."""
    header = ["Method", *(f"`{task}`" for task in Task)]
    rows = [[f"`{method}`", *(_state(task, method) for task in Task)] for method in MethodType]
    return _INTRODUCTION + table(header, rows) + _DEFAULTS + _defaults() + "\n## Settings\n\n" + _settings()


def _state(task: Task, method: MethodType) -> str:
    return "**built**" if method in BUILT.get(task, ()) else "planned"


def _defaults() -> str:
    header = ["Task", "Method", "`epochs`", "`learningRate`", "`batchSize`", "`maxLength`"]
    rows = [
        [f"`{task}`", f"`{method}`", f"{d.epochs:g}", f"{d.learning_rate:g}", str(d.batch_size), str(d.max_length)]
        for task, methods in DEFAULTS.items()
        for method, d in methods.items()
    ]
    return table(header, rows)


def _settings() -> str:
    rows = []
    for path, field in fields().items():
        _, _, name = path.partition("spec.method.")
        if "." in name and not name.endswith("[]"):
            default = "" if field.default in (None, "") else f"`{_plain(field.default)}`"
            rows.append([f"`{name}`", field.kind, default, field.bounds, " ".join(field.description.split())])
    return table(["Field of `spec.method`", "Type", "Default", "Bounds", "Meaning"], rows)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
