"""Whole lives in a played cluster: what `kubectl describe` tells of them, and that nothing is written for nothing."""

from played_cluster import PlayedCluster
from snapshots import failure, finetune_job, spec, termination, told

from finetune_api.outcome import Outcome, Progress
from finetune_api.status import Phase


def cluster(**blocks: object) -> PlayedCluster:
    made = PlayedCluster(finetune_job=finetune_job(spec(**blocks)))
    made.settle()
    return made


def train(played: PlayedCluster, step: int = 10) -> None:
    """The waiting pod starts and trains."""
    pod = played.start_next()
    played.live = told(
        pod, played.now, phase=Phase.TRAINING, progress=Progress(step=step, total_steps=100, percent=step)
    )
    played.settle()


def end(played: PlayedCluster, code: int, message: str = "", *, disrupt: bool = False) -> None:
    (pod,) = played.running()
    played.pass_time(60)
    played.end(pod, code, message, disrupt=disrupt)
    played.settle()


def event_diff(played: PlayedCluster) -> list[str]:
    return [event.reason for event in played.events]


def test_a_plain_life_is_five_writes_and_three_events() -> None:
    played = cluster()
    train(played)
    end(played, 0, termination())
    assert event_diff(played) == ["Accepted", "TrainingStarted", "Succeeded"]
    assert played.version - 1 <= 5
    assert (played.made, played.pods_made) == (1, 1)


def test_a_life_with_trouble() -> None:
    played = cluster(runPolicy={"backoffLimit": 2})
    train(played)
    end(played, 75, failure("Transient", "StorageUnavailable"))
    train(played, 20)
    end(played, 137, disrupt=True)
    train(played, 30)
    played.patch_policy(suspend=True)
    played.settle()
    end(played, 85, termination(Outcome.STOPPED))
    played.patch_policy(suspend=False)
    played.settle()
    train(played, 40)
    end(played, 0, termination())
    assert event_diff(played) == [
        "Accepted", "TrainingStarted", "Retrying", "TrainingStarted", "Preempted", "TrainingStarted", "Suspended",
        "Resumed", "TrainingStarted", "Succeeded",
    ]  # fmt: skip
    status = played.status
    assert [a.reason for a in status.attempts] == ["StorageUnavailable", "Preempted", "Suspended", "Succeeded"]
    assert (status.failures, status.preemptions, played.made) == (1, 1, 1)


def test_a_life_that_fails() -> None:
    played = cluster()
    train(played)
    end(played, 65, failure("Data", "ColumnMissing", "data.csv has no column 'text'"))
    assert event_diff(played) == ["Accepted", "TrainingStarted", "Failed"]
    assert played.events[-1].message == "ColumnMissing: data.csv has no column 'text'"
    assert played.events[-1].type == "Warning"


def test_a_checked_life() -> None:
    played = cluster(compute={"profile": "gpu", "gpusPerNode": 1})
    (pod,) = played.at_work()
    played.start(pod)
    played.settle()
    assert played.status.phase is Phase.VALIDATING
    end(played, 0, termination())
    train(played)
    end(played, 0, termination())
    assert event_diff(played) == ["Accepted", "Validated", "JobCreated", "TrainingStarted", "Succeeded"]
    assert played.made == 2


def test_many_attempts_are_counted_though_the_list_is_short() -> None:
    played = cluster(runPolicy={"backoffLimit": 40})
    for _ in range(25):
        train(played)
        end(played, 75, failure("Transient", "StorageUnavailable"))
        played.settle()
    status = played.status
    assert (status.failures, len(status.attempts), status.attempts[-1].number) == (25, 16, 25)
    assert status.attempts[0].number == 10


def test_a_finished_job_costs_nothing_at_a_restart() -> None:
    played = cluster()
    train(played)
    end(played, 0, termination())
    version = played.version
    plan = played.operate()
    assert (plan.writes, plan.events, played.version) == ((), (), version)


def test_a_training_job_costs_nothing_at_a_restart() -> None:
    played = cluster()
    train(played)
    played.live = None
    version = played.version
    plan = played.operate()
    assert (plan.writes, plan.events, played.version) == ((), (), version)
