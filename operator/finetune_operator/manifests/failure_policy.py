"""Pod failure policy of child Jobs: the retry rules that work without the operator."""

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import EXIT_CODE, RETRIED
from finetune_operator.labels import CONTAINER
from finetune_operator.records import Json

NOT_COUNTED = frozenset({ExitCode.FENCED, ExitCode.STOPPED, ExitCode.INTERRUPTED})
"""Replaced without being counted against `backoffLimit`."""

_OF_FINAL_FAILURES = {code for failure_class, code in EXIT_CODE.items() if failure_class not in RETRIED}
ENDS_THE_JOB = frozenset((_OF_FINAL_FAILURES | {ExitCode.GATE_FAILED}) - NOT_COUNTED - {ExitCode.UNAVAILABLE})
"""Never retried: another attempt would end the same way."""


def pod_failure_policy() -> Json:
    """Rules in order; other failures count against `backoffLimit`."""
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {"rules": [disrupted, _rule("Ignore", NOT_COUNTED), _rule("FailJob", ENDS_THE_JOB)]}


def _rule(action: str, codes: frozenset[ExitCode]) -> Json:
    values = sorted(int(code) for code in codes)
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values}}
