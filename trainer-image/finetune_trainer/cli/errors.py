"""Failures as people and programs read them."""

import json
import sys
import traceback

from finetune_api.failures import JobFailure

_MOST = 25


def print_failure(failure: JobFailure, *, as_json: bool = False, debug: bool = False) -> None:
    """Write a failure to standard error, or as one JSON object to standard output."""
    if as_json:
        problems = [{"where": p.where, "message": p.message, "hint": p.hint} for p in failure.problems]
        content = {"code": failure.code, "class": failure.failure_class, "exitCode": int(failure.exit_code)}
        print(json.dumps({"event": "failure", **content, "problems": problems}))  # noqa: T201 -- this is the output
    else:
        sys.stderr.write(failure_text(failure, color=sys.stderr.isatty()))
    if debug:
        traceback.print_exception(failure.__cause__ or failure)


def failure_text(failure: JobFailure, *, color: bool) -> str:
    """The failure as text: a headline, then each problem with its place and its remedy."""
    red, bold, dim, end = ("\033[31m", "\033[1m", "\033[2m", "\033[0m") if color else ("", "", "", "")
    count = f", {len(failure.problems)} problems" if len(failure.problems) > 1 else ""
    lines = [f"{red}{bold}{failure.code}{end}{red} (exit code {int(failure.exit_code)}{count}){end}"]
    for problem in failure.problems[:_MOST]:
        where = f"{bold}{problem.where}{end}: " if problem.where else ""
        lines.append(f"  {where}{problem.message}")
        if problem.hint:
            lines.append(f"    {dim}→ {problem.hint}{end}")
    if len(failure.problems) > _MOST:
        lines.append(f"  ... and {len(failure.problems) - _MOST} more")
    return "\n".join(lines) + "\n"
