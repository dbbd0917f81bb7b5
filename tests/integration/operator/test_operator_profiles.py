"""Profiles that the API server refuses: told at the start of the operator, and by the job that names one."""

import time
from pathlib import Path

import pytest
from admission import admission, policy
from operator_process import OperatorProcess
from tuning import Json, Namespace

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
        (event,) = namespace.until(lambda: events(Namespace(namespace.cluster, "default"), "broken"), "event")
        assert (event["reason"], event["involvedObject"]["kind"]) == ("ProfileRefused", "Pod")
        assert WORDS in event["message"]

        namespace.apply("bad", {"compute": {"profile": "broken"}})
        failure = namespace.until_phase("Failed", "bad")["failure"]
        assert failure["code"] == "PodRefused"
        assert WORDS in failure["message"]
        assert failure["hint"] == "that is requests and limits of profiles.broken, which the platform team sets"
        namespace.apply("good")
        namespace.until_phase("Starting", "good")


def test_a_denial_is_of_the_namespace_and_its_policy_not_of_the_profile(
    namespace: Namespace, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    """As by a policy that asks for a label of the cost centre: it denies with 422, and the operator runs on."""
    other = Namespace(namespace.cluster, f"{namespace.name}-b")
    other.create()
    denial = policy(
        namespace, ["CREATE"], "choose no nodes here", "batch", "jobs", "!has(object.spec.template.spec.nodeSelector)"
    )
    pinned, places = {"nodeSelector": {"gpu": "a100"}}, [namespace.name, other.name]
    with admission(namespace, "validatingadmissionpolicies", *denial):
        time.sleep(2)
        with OperatorProcess(tmp_path / "operator", operator_kubeconfig, places, pinned=pinned) as operator:
            told = namespace.until(lambda: events(namespace, "profiles.pinned"), "event")
            assert [one["reason"] for one in told] == ["ProfileRefused"]
            words = f"admission denies Jobs of profiles.pinned in namespace {namespace.name}: "
            assert told[0]["message"].startswith(words)
            assert "choose no nodes here" in told[0]["message"]
            assert "other namespaces may allow them" in told[0]["message"]
            assert words in operator.log
            figures = operator.metrics()
    for place, denied in zip(places, ("1.0", "0.0"), strict=True):
        assert f'finetune_profile_denied{{namespace="{place}",profile="profiles.pinned"}} {denied}' in figures
    assert 'finetune_profile_refused{profile="profiles.pinned"} 0.0' in figures
    assert events(other, "profiles") == []
    other.delete()


def test_warnings_of_the_api_server_are_told(namespace: Namespace, operator_kubeconfig: Path, tmp_path: Path) -> None:
    """A client that ignores the header `Warning` learns nothing of labels that no node will have, or of PodSecurity."""
    old = {"nodeSelector": {"beta.kubernetes.io/arch": "amd64"}}
    with OperatorProcess(tmp_path / "operator", operator_kubeconfig, [namespace.name], old=old) as operator:
        (event,) = namespace.until(lambda: events(namespace, "profiles.old"), "event")
        assert (event["reason"], event["type"]) == ("ProfileWarning", "Warning")
        assert event["message"].endswith('deprecated since v1.14; use "kubernetes.io/arch" instead')
        assert event["message"] in operator.log


def events(namespace: Namespace, words: str) -> list[Json]:
    """Events of profiles in a namespace with those words."""
    found = [one for one in namespace.objects("events") if one["reason"].startswith("Profile")]
    return [one for one in found if words in one["message"]]
