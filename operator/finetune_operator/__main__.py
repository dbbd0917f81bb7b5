"""`finetune-operator --settings FILE`: the command line."""

import argparse
import asyncio
import gc
import logging
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from finetune_operator import __version__
from finetune_operator.log import set_up_logging
from finetune_operator.settings import load_settings, unknown_settings

log = logging.getLogger(__name__)


_FILES = 65_536
"""Open files that the operator may ever need."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator, or check its settings. Ends with 0 after a signal, with 1 and a message after a failure."""
    options = _parser().parse_args(arguments)
    settings = load_settings(options.settings, open_to_newer=not options.check)
    if options.check:
        sys.stdout.write(f"{options.settings}: {len(settings.profiles)} profiles, all fields are fine\n")
        return
    set_up_logging(settings.log_format)
    for field in unknown_settings(options.settings):
        log.warning("%s: %s is ignored: this version does not know it", options.settings, field)
    from finetune_operator.main import operate  # noqa: PLC0415 -- kopf and the client take a second to import
    from finetune_operator.reconcile import reconcile  # noqa: PLC0415 -- as above

    _open_more_files()
    _collect_less()
    asyncio.run(operate(settings, options.kubeconfig, reconcile))


def _open_more_files() -> None:
    """Raise the soft limit of open files, which may be 256, too few for the connections to the API server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _collect_less() -> None:
    """Reduce garbage collection, and freeze imported objects: it took a third of the time of a listing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="finetune-operator", description="Runs FineTuneJobs on Kubernetes.")
    parser.add_argument("--settings", type=Path, required=True, metavar="FILE", help="settings file (YAML)")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="credentials; else those of the pod, or $KUBECONFIG"
    )
    parser.add_argument("--check", action="store_true", help="check the settings file and exit")
    parser.add_argument("--version", action="version", version=f"finetune-operator {__version__}")
    return parser


if __name__ == "__main__":
    main()
