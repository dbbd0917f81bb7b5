"""The pod template of a child Job: one container under the `restricted` profile, without access to the API server."""

from datetime import datetime

from finetune_api import pod
from finetune_api.run_file import Mode
from finetune_operator import __version__
from finetune_operator.labels import CONTAINER, JOB_LABELS
from finetune_operator.manifests.job_inputs import JobInputs, run_file_json
from finetune_operator.manifests.names import child_labels, child_name
from finetune_operator.manifests.volumes import mounted
from finetune_operator.placement import as_written
from finetune_operator.records import Json
from finetune_operator.settings import TrainerImage


def pod_template(inputs: JobInputs) -> Json:
    """The pod template. The run file is in its annotation."""
    name = child_name(inputs.job, inputs.mode)
    labels = {**inputs.profile.labels, **child_labels(inputs.job, inputs.mode), **dict.fromkeys(JOB_LABELS, name)}
    ours = {pod.RUN_ANNOTATION: run_file_json(inputs), pod.WRITER_ANNOTATION: __version__}
    annotations = {**inputs.profile.annotations, **ours}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": _spec(inputs)}


def failed_pod_status(reason: str, message: str, now: datetime) -> Json:
    """Status patch that marks a pod failed and disrupted."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"phase": "Failed", "conditions": [condition]}


def _spec(inputs: JobInputs) -> Json:
    image = inputs.settings.trainer
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": inputs.grace_seconds,
        "securityContext": _pod_security(image),
        "containers": [_container(inputs)],
        "volumes": [part.volume for part in mounted(inputs.spec, inputs.profile, inputs.parents)],
        **_access(image),
        **_placement(inputs),
    }


def _container(inputs: JobInputs) -> Json:
    image = inputs.settings.trainer
    return {
        "name": CONTAINER,
        "image": inputs.profile.image or image.name,
        "imagePullPolicy": image.pull_policy,
        "args": ["pod"],
        "env": _threads(inputs),
        "ports": [{"name": "metrics", "containerPort": pod.PORT, "protocol": "TCP"}],
        "resources": _resources(inputs),
        "terminationMessagePath": str(pod.TERMINATION_MESSAGE),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            mount for part in mounted(inputs.spec, inputs.profile, inputs.parents) for mount in part.mounts
        ],
    }


def _threads(inputs: JobInputs) -> list[Json]:
    """Thread count by the CPU limit: torch would use one per core of the node."""
    if "cpu" not in inputs.profile.limits:
        return []
    field = {"containerName": CONTAINER, "resource": "limits.cpu", "divisor": "1"}
    return [{"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": field}}]


def _resources(inputs: JobInputs) -> Json:
    gpus = {inputs.profile.gpu_resource: str(inputs.gpus)} if inputs.gpus else {}
    wanted = {"requests": {**inputs.profile.requests, **gpus}, "limits": {**inputs.profile.limits, **gpus}}
    return {kind: quantities for kind, quantities in wanted.items() if quantities}


def _pod_security(image: TrainerImage) -> Json:
    """Security context, without user ids where the cluster assigns them (OpenShift)."""
    user = image.run_as_user
    ids = {"runAsUser": user, "runAsGroup": user, "fsGroup": user} if user is not None else {}
    return {
        "runAsNonRoot": True,
        **ids,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _access(image: TrainerImage) -> Json:
    access: Json = {}
    if image.service_account_name:
        access["serviceAccountName"] = image.service_account_name
    if image.pull_secrets:
        access["imagePullSecrets"] = [{"name": name} for name in image.pull_secrets]
    return access


def _placement(inputs: JobInputs) -> Json:
    """Scheduling fields. The job's priority applies to training; a check has the profile's."""
    profile = inputs.profile
    asked = inputs.spec.compute.priority_class_name if inputs.mode is Mode.TRAIN else ""
    placement = {
        "nodeSelector": profile.node_selector,
        "tolerations": [as_written(toleration) for toleration in profile.tolerations],
        "affinity": as_written(profile.affinity),
        "runtimeClassName": profile.runtime_class_name,
        "priorityClassName": asked or profile.priority_class_name,
    }
    return {field: value for field, value in placement.items() if value}
