"""Mistakes in a compute profile, and secrets among the settings of stores, stop the operator before they meet a job."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.quantity import amount
from finetune_operator.settings import is_credential, load_settings

Json = dict[str, Any]


def load(folder: Path, profile: Json | None = None, **more: Any) -> Any:
    """As the operator reads it at its start."""
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump({"trainer": {"name": "x"}, "profiles": {"gpu-a100": profile or {}}, **more}))
    return load_settings(file, open_to_newer=True)


TERM = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
REQUIRED = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}}


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}, "requests.cpu 2 is above limits.cpu 500m"),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}, "above limits.memory"),
        ({"requests": {"memory": "8 GB"}}, "is no quantity"),
        ({"labels": {"cost centre": "x"}}, "labels"),
        ({"labels": {"team": "ml & co"}}, "labels.team"),
        ({"annotations": {"finetune.dev/run": "{}"}}, "the operator's own"),
        ({"tolerations": [{"key": "gpu", "operator": "Exist"}]}, "tolerations"),
        ({"tolerations": [{"key": "gpu", "efect": "NoSchedule"}]}, "efect"),
        ({"nodeSelector": {"gpu": "a b"}}, "nodeSelector.gpu"),
        ({"affinity": {"nodeAffinity": {"requiredDuringScheduling": {}}}}, "requiredDuringScheduling"),
        ({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}, "topologyKey"),
        ({"priorityClassNames": ["system-node-critical"]}, "system-node-critical"),
    ],
)
def test_a_mistake_is_named_with_its_profile(profile: Json, words: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        load(tmp_path, profile)
    assert words in str(stopped.value)
    assert "profiles.gpu-a100" in str(stopped.value)


@pytest.mark.parametrize(
    "profile",
    [
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "0.5", "memory": "1024Mi"}},
        {"requests": {"nvidia.com/mig-1g.5gb": "1", "ephemeral-storage": "20Gi"}},
        {"tolerations": [{"operator": "Exists"}, {"key": "a/b", "value": "c", "tolerationSeconds": 0}]},
        {"affinity": {"nodeAffinity": REQUIRED}},
        {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}]}}},
        {"labels": {"example.com/team": ""}, "annotations": {"karpenter.sh/do-not-disrupt": "true"}},
        {"priorityClassNames": ["training-urgent"]},
    ],
)  # fmt: skip
def test_what_kubernetes_takes_is_taken(profile: Json, tmp_path: Path) -> None:
    load(tmp_path, profile)


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2", 2), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("2M", 2e6)]
)
def test_quantities_are_numbers(text: str, number: float) -> None:
    assert amount(text) == number


@pytest.mark.parametrize(
    "name",
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY",
     "AZURE_CLIENT_SECRET", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "GOOGLE_API_KEY"],
)  # fmt: skip
def test_a_credential_is_no_setting(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="credential"):
        load(tmp_path, stores={"settings": {name: "x"}})


def test_nor_is_a_password_in_an_address(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="AWS_ENDPOINT_URL is a credential"):
        load(tmp_path, stores={"settings": {"AWS_ENDPOINT_URL": "https://user:secret@s3.example.com"}})


@pytest.mark.parametrize(
    "name",
    ["AWS_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "HF_ENDPOINT",
     "HF_HUB_DISABLE_IMPLICIT_TOKEN", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_STORAGE_ACCOUNT_NAME",
     "AWS_CONTAINER_CREDENTIALS_FULL_URI", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_ALLOW_HTTP"],
)  # fmt: skip
def test_what_only_says_where_or_how_is_one(name: str) -> None:
    assert not is_credential(name)
