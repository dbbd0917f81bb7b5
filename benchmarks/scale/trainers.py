"""Trainer pods without trainers: KWOK plays a few nodes, and pods on them that run for a moment and end well."""

import json
from pathlib import Path
from typing import Any

from binaries import find
from control_plane import ControlPlane

from finetune_api.outcome import Artifacts, EvaluationResult, Outcome
from finetune_api.termination import Termination

STAYS = "benchmark.finetune.dev/stays"
"""Label of pods that run until they are deleted."""
RUN_MILLISECONDS = 1000
"""How long the other pods run."""
_NODES = 5
_NODE_LABEL = "benchmark.finetune.dev/fake"
_UID = 'index .metadata.labels "finetune.dev/job-uid"'
_FIGURES = ("accuracy", "evalLoss", "f1Macro", "f1Weighted", "precisionMacro", "recallMacro")


def start_trainers(cluster: ControlPlane) -> None:
    """Make nodes and play the pods that get to them, until the control plane stops."""
    for number in range(_NODES):
        node = {"metadata": {"name": f"fake-{number}", "labels": {_NODE_LABEL: "true"}}}
        status, answer = cluster.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **node})
        if status != 201:
            raise SystemExit(f"node fake-{number} can't be made: {answer}")
    stages = cluster.folder / "stages.yaml"  # JSON is YAML
    stages.write_text("\n---\n".join(json.dumps(stage) for stage in _stages()))
    cluster.processes.start("kwok", _command(cluster.kubeconfig, stages))


def _command(kubeconfig: Path, stages: Path) -> list[str | Path]:
    return [
        find("kwok"), f"--kubeconfig={kubeconfig}", f"--config={stages}",
        f"--manage-nodes-with-label-selector={_NODE_LABEL}=true", "--node-lease-duration-seconds=40",
    ]  # fmt: skip


def _stages() -> list[dict[str, Any]]:
    begins = [_expression(".status.podIP", "DoesNotExist")]
    ends = [
        _expression(".status.phase", "In", ["Running"]),
        _expression(f'.metadata.labels["{STAYS}"]', "DoesNotExist"),
    ]
    return [
        _stage("trainer-starts", begins, {"statusTemplate": _running()}),
        _stage("trainer-ends", ends, {"statusTemplate": _ended()}, RUN_MILLISECONDS),
        {
            **_stage("trainer-is-deleted", [], {"delete": True, "finalizers": {"empty": True}}),
            "spec": {
                "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
                "selector": {"matchExpressions": [_expression(".metadata.deletionTimestamp", "Exists")]},
                "next": {"delete": True, "finalizers": {"empty": True}},
            },
        },
    ]


def _stage(name: str, when: list[dict[str, Any]], then: dict[str, Any], delay: int = 0) -> dict[str, Any]:
    alive = _expression(".metadata.deletionTimestamp", "DoesNotExist")
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {"matchExpressions": [alive, *when]},
        "next": then,
    }
    if delay:
        spec["delay"] = {"durationMilliseconds": delay}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


def _expression(key: str, operator: str, values: list[str] | None = None) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": values} if values else {})}


def _running() -> str:
    """Status of a pod whose container has just started."""
    conditions = "".join(
        f'- {{type: {kind}, status: "True", lastTransitionTime: {{{{ $now | Quote }}}}}}\n'
        for kind in ("Initialized", "Ready", "ContainersReady")
    )
    address = "{{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}"
    return (
        "{{ $now := Now }}\n"
        f"conditions:\n{conditions}"
        f"containerStatuses:\n{_container('running: {startedAt: {{ $now | Quote }}}', ready=True)}"
        f"hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}\npodIP: {address}\n"
        "phase: Running\nstartTime: {{ $now | Quote }}\n"
    )


def _ended() -> str:
    """Status of a pod whose container has ended with a result, told as the trainer tells it."""
    times = "startedAt: {{ $started | Quote }}, finishedAt: {{ $now | Quote }}"
    state = f"terminated: {{exitCode: 0, reason: Completed, {times}, message: '{_message()}'}}"
    return (
        f"{{{{ $now := Now }}}}{{{{ $started := .status.startTime }}}}{{{{ $uid := {_UID} }}}}\n"
        f"containerStatuses:\n{_container(state, ready=False)}phase: Succeeded\n"
    )


def _container(state: str, *, ready: bool) -> str:
    return (
        "{{ range .spec.containers }}"
        "- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: fake, restartCount: 0,"
        f" ready: {json.dumps(ready)}, state: {{{state}}}}}\n"
        "{{ end }}"
    )


def _message() -> str:
    evaluation = EvaluationResult(metrics=dict.fromkeys(_FIGURES, 0.91), baseline=dict.fromkeys(_FIGURES, 0.24))
    folder = "s3://models/scale"
    artifacts = Artifacts(
        model=f"{folder}/model", report=f"{folder}/report/index.html", digest=f"sha256:{'0123456789abcdef' * 4}"
    )
    said = Termination(
        uid="UID", attempt=1, outcome=Outcome.SUCCEEDED, steps=285, evaluation=evaluation, artifacts=artifacts
    )
    return said.encode().replace('"UID"', '"{{ $uid }}"')
