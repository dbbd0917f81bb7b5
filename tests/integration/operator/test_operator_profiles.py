"""Profiles that the API server refuses: told at the start of the operator, and by the job that names one."""

import time
from pathlib import Path

import pytest
from admission import admission, policy
from operator_process import OperatorProcess
from tuning import Namespace

REFUSED = {"requests": {"bogus": "1"}, "limits": {"bogus": "1"}}
"""Resources have standard names, or names with a domain; which ones, the API server decides."""
WORDS = "must be a standard resource type or fully qualified"


@pytest.mark.causes("PodRefused")
def test_a_profile_that_is_refused_is_told_at_the_start_and_stops_nothing(
    namespace: Namespace, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with OperatorProcess(tmp_path / "operator", operator_kubeconfig, [namespace.name], broken=REFUSED) as operator:
        namespace.until(
            lambda: 'finetune_profile_refused{profile="profiles.broken"} 1.0' in operator.metrics(), "metric"
        )
        for name in ("profiles.default", "checkProfile"):
            assert f'finetune_profile_refused{{profile="{name}"}} 0.0' in operator.metrics()
        (line,) = [line for line in operator.log.splitlines() if "refuses Jobs of" in line]
        assert "refuses Jobs of profiles.broken" in line
        assert WORDS in line
        assert "that is requests and limits of profiles.broken, which the platform team sets" in line
        assert namespace.objects("jobs") == []

        namespace.apply("bad", {"compute": {"profile": "broken"}})
        failure = namespace.until_phase("Failed", "bad")["failure"]
        assert failure["code"] == "PodRefused"
        assert WORDS in failure["message"]
        assert failure["hint"] == "that is requests and limits of profiles.broken, which the platform team sets"
        namespace.apply("good")
        namespace.until_phase("Starting", "good")


def test_a_policy_that_denies_a_profile_is_told_too(
    namespace: Namespace, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """As one that asks for a label of the cost centre: it denies with 422, and the operator runs on."""
    denial = policy(
        namespace, ["CREATE"], "choose no nodes here", "batch", "jobs", "!has(object.spec.template.spec.nodeSelector)"
    )
    pinned = {"nodeSelector": {"gpu": "a100"}}
    with admission(namespace, "validatingadmissionpolicies", *denial):
        time.sleep(2)
        with OperatorProcess(tmp_path / "operator", operator_kubeconfig, [namespace.name], pinned=pinned) as operator:
            namespace.until(lambda: "refuses Jobs of profiles.pinned" in operator.log, "word of it")
            assert "choose no nodes here" in operator.log
