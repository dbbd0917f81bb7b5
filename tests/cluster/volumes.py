"""Storage that claims bind to: folders of this machine as volumes of the class `standard`, made beforehand."""

import json
from pathlib import Path
from typing import Any

STORAGE_CLASS = "standard"
_COUNT = 40
"""Claims that a cluster can have over its life: a volume is not used twice."""


def manifests(folder: Path) -> str:
    """Make the folders; return the objects for `kubectl create -f -`."""
    for number in range(_COUNT):
        path = folder / str(number)
        path.mkdir(parents=True)
        path.chmod(0o777)  # a pod's group is not given to a folder of the node, and pods are not root
    volumes = [_volume(number, folder / str(number)) for number in range(_COUNT)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [_class(), *volumes]})


def _class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(number: int, path: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"folder-{number}"},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": "50Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(path), "type": "Directory"},
        },
    }
