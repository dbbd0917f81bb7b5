"""`finetune-trainer pod`: entry point of the trainer's container."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from finetune_api import pod
from finetune_api.failures import Interrupted, JobFailure, TrainerHung
from finetune_api.run_file import Mode, RunFile
from finetune_trainer.cli.errors import print_failure
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.observer import RunObserver
from finetune_trainer.observers import Observers
from finetune_trainer.pod.checkpoint_request import CheckpointRequest
from finetune_trainer.pod.environment import below, site_of, use_hub_settings, use_work_folder
from finetune_trainer.pod.gpus import check_gpu
from finetune_trainer.pod.job_inputs import job_of, named_secrets, read_order, uid_in
from finetune_trainer.pod.metrics import CONTENT_TYPE, Exposition
from finetune_trainer.pod.progress import RunProgress
from finetune_trainer.pod.server import Page, serving
from finetune_trainer.pod.termination import termination_at, termination_of, termination_without_run, write_termination
from finetune_trainer.pod.watchdog import Heartbeat, watched
from finetune_trainer.run_record import RunResult
from finetune_trainer.signals import StopToken, ignore_stop_signals, stop_signals
from finetune_trainer.storage import Site, ignored_keys, redacted
from finetune_trainer.unexpected import as_failure

_SECONDS_BETWEEN_LINES = 10.0
_HEALTH_PATH = "/healthz"
_LIMITS = 4
"""Times `runPolicy.stallSeconds` until a trainer ends itself: the operator knows better, where it can ask."""


def pod_command(run_file: str, root: Path, port: int) -> int:
    """Execute the run file; returns the exit code.

    However it ends, the termination message says so. `root` stands for `/`, so that it can be tried outside of pods.
    """
    file = Path(run_file) if run_file else below(root, pod.RUN_FILE)
    order = None
    try:
        with stop_signals() as stop:
            order = read_order(file)
            if order.grace_seconds is not None:
                stop.limit(order.grace_seconds)
            with watched(_LIMITS * order.spec.run_policy.stall_seconds, _hung(order, root)) as heartbeat:
                stop.turned = heartbeat.beat
                result, board = _carry_out(order, root, port, stop, heartbeat)
            message, failure, code = termination_of(result, board.live), result.failure, result.exit_code
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 -- the last line of defence: told as a failure
        failure = _failure_of(error, order, root)
        message, code = termination_without_run(failure, order.job.uid if order else uid_in(file)), failure.exit_code
    ignore_stop_signals()
    if failure is not None:
        print_failure(failure, debug=failure.code == "InternalError")
    write_termination(message, below(root, pod.TERMINATION_MESSAGE))
    return int(code)


def _hung(order: RunFile, root: Path) -> Callable[[Heartbeat], None]:
    """Callback that writes log line and termination message for a run that hangs."""
    seconds = _LIMITS * order.spec.run_policy.stall_seconds

    def tell(last: Heartbeat) -> None:
        message = f"no progress for {seconds} s{f', since: {last.doing}' if last.doing else ''}"
        failure = TrainerHung(
            message, hint="the log shows where each thread was; runPolicy.stallSeconds sets the limit"
        )
        print_failure(failure)
        write_termination(termination_at(last.position, failure, order.job.uid), below(root, pod.TERMINATION_MESSAGE))

    return tell


def _carry_out(
    order: RunFile, root: Path, port: int, stop: StopToken, heartbeat: Heartbeat
) -> tuple[RunResult, RunProgress]:
    use_work_folder(root)
    use_hub_settings(order.stores)
    silence_libraries()
    site, board, log = (
        site_of(order, root),
        RunProgress(order, heartbeat.beat, heartbeat.move_to),
        PlainObserver(seconds_between=_SECONDS_BETWEEN_LINES),
    )
    observer = Observers(board, log)  # in this order: what a line of the log says can be asked for by then
    log.said(f"{order.mode} {order.job.namespace}/{order.job.name}, uid {order.job.uid}")
    with _served(order, board, port, log):
        for secret in named_secrets(order.spec):
            ignored = ignored_keys(secret, site)
            if ignored:
                observer.warned(f"{', '.join(ignored)} of the Secret {secret.name}: {_IGNORED}")
        return _run(order, site, observer, below(root, pod.CHECKPOINT_REQUEST), stop), board


_IGNORED = "ignored, since the platform team has not allowed Secrets to name endpoints (stores.endpointsFromSecrets)"


def _run(order: RunFile, site: Site, observer: RunObserver, request: Path, stop: StopToken) -> RunResult:
    """Execute the order; heavy imports happen here, so that a broken run file is reported within a second."""
    job, uid = job_of(order), order.job.uid
    if order.mode is Mode.VALIDATE:
        from finetune_trainer.validation import validate_job

        return validate_job(job, site, uid, observer, order.gpu_memory)
    from finetune_trainer.run import run_job

    check_gpu(order.spec)
    return run_job(job, site, uid, observer, requested=CheckpointRequest(request), stop=stop)


@contextmanager
def _served(order: RunFile, board: RunProgress, port: int, log: PlainObserver) -> Iterator[None]:
    """Serve progress and metrics over HTTP. A port in use disables the server, not the run."""
    exposition = Exposition(order, board)
    pages: dict[str, Page] = {
        pod.METRICS_PATH: (CONTENT_TYPE, exposition.text),
        pod.PROGRESS_PATH: (
            "application/json",
            lambda: board.live.model_dump_json(by_alias=True, exclude_none=True).encode(),
        ),
        _HEALTH_PATH: ("text/plain", lambda: b"ok\n"),
    }
    with ExitStack() as stack:
        try:
            found = stack.enter_context(serving(pages, port))
            log.said(f"metrics and progress are served on port {found}")
        except OSError as error:
            log.warned(f"metrics and progress are not served: port {port}: {error.strerror}")
        yield


def _failure_of(error: BaseException, order: RunFile | None, root: Path) -> JobFailure:
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(
            "stopped on request before the run was under way; nothing was lost", hint="run the job again"
        )
    return redacted(as_failure(error), site_of(order, root))
