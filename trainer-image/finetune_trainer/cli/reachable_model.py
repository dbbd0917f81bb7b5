"""Base model for `validate`: opened, or skipped where its store is not reachable quickly."""

from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from finetune_api.failures import StorageUnavailable

if TYPE_CHECKING:
    from finetune_trainer.stages.base_model import BaseModel
    from finetune_trainer.stages.checking import MergedSpec
    from finetune_trainer.storage import Site

_SECONDS = 20.0
"""Patience with the hub or a store: config and tokenizer are a few megabytes."""


def open_within(merged: "MergedSpec", site: "Site", seconds: float = _SECONDS) -> "tuple[BaseModel | None, str]":
    """The base model, or None with the reason it was skipped: no network, or no answer within `seconds`.

    Raises whatever else says that the job can't be done with it.
    """
    if merged.spec.model.uri.startswith("file://"):
        return merged.open_base(site), ""
    found: Future[BaseModel] = Future()
    Thread(target=_open, args=(merged, site, found), daemon=True).start()  # a hanging one dies with the process
    try:
        return found.result(seconds), ""
    except StorageUnavailable as failure:
        return None, failure.problems[0].message
    except TimeoutError:
        return None, f"no answer within {seconds:g} s"


def _open(merged: "MergedSpec", site: "Site", found: "Future[BaseModel]") -> None:
    try:
        base = merged.open_base(site)
    except BaseException as error:  # noqa: BLE001 -- whoever waits raises it
        found.set_exception(error)
        return
    with suppress(Exception):
        found.set_result(base)
