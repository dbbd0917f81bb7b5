"""A FineTuneJob called `movies` whose pod runs: where most tests of what comes next begin."""

from dataclasses import dataclass

from operator_process import OperatorProcess


@dataclass(frozen=True)
class StartedJob:
    """What such a test goes on with."""

    operator: OperatorProcess
    uid: str
    """UID of the FineTuneJob."""
    pod: str
    """Name of its pod."""
