"""Failures as text for people and as JSON for programs."""

import json
import os
import sys
import traceback
from typing import Any, TextIO

from finetune_api.failures import JobFailure
from finetune_trainer.cli.lines import Lines

_MOST = 25


def print_failure(failure: JobFailure, *, as_json: bool = False, debug: bool = False) -> None:
    """Write a failure to standard error, or as one JSON object to standard output; `debug` adds the trace."""
    if as_json:
        Lines(sys.stdout).write(json.dumps({"event": "failure", **failure_fields(failure)}))
    else:
        Lines(sys.stderr).write(failure_text(failure, color=wants_color(sys.stderr)))
    if debug:
        traceback.print_exception(failure.__cause__ or failure)


def failure_fields(failure: JobFailure) -> dict[str, Any]:
    """The failure for programs: code, class, exit code and all problems."""
    problems = [{"where": p.where, "message": p.message, "hint": p.hint} for p in failure.problems]
    return {
        "code": failure.code,
        "class": failure.failure_class,
        "exitCode": int(failure.exit_code),
        "problems": problems,
    }


def failure_text(failure: JobFailure, *, color: bool) -> str:
    """The failure as text: a headline, then each problem with its place and its fix."""
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
    return "\n".join(lines)


def wants_color(stream: TextIO) -> bool:
    """Whether to use colours: on a terminal that supports them, unless `NO_COLOR` is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
