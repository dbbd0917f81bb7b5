"""The page of failures and exit codes."""

import ast
import inspect
from itertools import pairwise

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import RETRIED, FailureClass, JobFailure, catalogue
from finetune_api.reference.markdown import table

_INTRODUCTION = """\
# Failures

Every run that fails says why with one *code* from this list. It is in the terminal, in `report/report.json`, in the
termination message of the pod and in `status.failure.code`. The code belongs to a *class*; the class decides what the
process ends with and whether another attempt makes sense. Who fixes what:

- `Spec`, `Data`, `NotFound`, `Permission`, `Output`, `Resources`, `Training`: change the job or what it points at.
  Never retried.
- `Transient`, `Internal`: retried, at most `runPolicy.backoffLimit` times.
- `Stopped`: somebody asked for it.

"""


def failures_page() -> str:
    """All failures of the catalogue and all exit codes, as Markdown."""
    rows = [_row(failure) for failure in catalogue().values()]
    codes = [[str(code.value), f"`{code.name}`", meaning] for code, meaning in _meanings().items()]
    return (
        _INTRODUCTION
        + table(["Code", "Class", "Exit code", "Retried", "Meaning"], rows)
        + "\n## Exit codes\n\n"
        + table(["Exit code", "Name", "Meaning"], codes)
    )


def _row(failure: type[JobFailure]) -> list[str]:
    kind: FailureClass = failure.failure_class
    retried = "yes" if kind in RETRIED else "no"
    return [
        f"`{failure.code}`",
        str(kind),
        str(int(failure().exit_code)),
        retried,
        inspect.cleandoc(failure.__doc__ or ""),
    ]


def _meanings() -> dict[ExitCode, str]:
    """Texts below the members of `ExitCode`, which exist in its source only."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(ExitCode)).body if isinstance(node, ast.ClassDef))
    found = {}
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name) and isinstance(text, ast.Expr):
            found[ExitCode[member.targets[0].id]] = str(ast.literal_eval(text.value))
    return found
