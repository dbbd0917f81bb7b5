"""Small pods of the tests themselves: a Python program in an image that is on the node, with few rights."""

import json

from kubectl_commands import Json, Kubectl, wait_until

_SECONDS = 90


def python_pod(name: str, namespace: str, image: str, program: str, claim: str = "") -> Json:
    """A pod that runs `program`; a claim is mounted at `/mnt/<claim>`."""
    volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    mounts = [{"name": "claim", "mountPath": f"/mnt/{claim}"}] if claim else []
    container = {
        "name": "python",
        "image": image,
        "command": ["python3", "-c", program],
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": security,
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def output_of(kubectl: Kubectl, pod: Json) -> str:
    """Run the pod to its end and return what it printed.

    Raises `AssertionError` with its log where it fails.
    """
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    kubectl.apply(pod)

    def phase() -> str:
        found = kubectl.get("pod", name, namespace)
        reached = str(found["status"]["phase"]) if found else ""
        return reached if reached in ("Succeeded", "Failed") else ""

    ended = wait_until(f"pod {name} ended", phase, _SECONDS)
    log = kubectl("logs", name, "-n", namespace)
    kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
    assert ended == "Succeeded", log
    return log


def address_of(kubectl: Kubectl, pod: Json) -> str:
    """Start the pod and return its address once it is ready."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    kubectl.apply(pod)
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", namespace, f"--timeout={_SECONDS}s")
    return str(json.loads(kubectl("get", "pod", name, "-n", namespace, "-o", "json"))["status"]["podIP"])
