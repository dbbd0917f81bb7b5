"""Redaction of mounted secrets in messages: a last line of defence, since messages never quote them on purpose."""

import re
from collections.abc import Iterable, Iterator

from finetune_api.failures import JobFailure, Problem
from finetune_trainer.storage.site import Site

_SECRET_NAME = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
_SHORTEST = 6
_INSTEAD = "***"


def redacted(failure: JobFailure, site: Site) -> JobFailure:
    """The same failure without values of mounted Secrets."""
    values = sorted(_values(site), key=len, reverse=True)
    if not any(value in str(failure) for value in values):
        return failure
    problems = [Problem(*(_without(text, values) for text in (p.message, p.where, p.hint))) for p in failure.problems]
    clean = type(failure)(*problems)
    clean.__cause__ = failure.__cause__
    return clean


def _values(site: Site) -> Iterator[str]:
    """Secret values of all mounted Secrets, and the lines of multi-line ones."""
    if site.mounts is None or not site.mounts.secrets.is_dir():
        return
    for file in site.mounts.secrets.glob("*/*"):
        if file.name.startswith(".") or not file.is_file() or not _SECRET_NAME.search(file.name):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        yield from (line.strip() for line in text.splitlines() if len(line.strip()) >= _SHORTEST)


def _without(text: str, values: Iterable[str]) -> str:
    for value in values:
        text = text.replace(value, _INSTEAD)
    return text
