"""`pvc://` and `configmap://` addresses: what they name, and that none leads anywhere else."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api import pod
from finetune_api.uris import (
    ClaimPath,
    ConfigMapKey,
    is_claim,
    is_config_map,
    mounted_claim,
    mounted_config_map,
)

OUTSIDE = [
    "pvc://../x",
    "pvc://a/..",
    "pvc://a/../b",
    "pvc://a/b/./c",
    "pvc://a/b/../../../c",
    "pvc:///x",
    "pvc://",
    "pvc://A/x",
    "pvc://a\n/x",
    "pvc://-a/x",
    "pvc://" + "a" * 254,
    "configmap://a",
    "configmap://a/",
    "configmap://a/..",
    "configmap://a/.",
    "configmap://a/b/c",
    "configmap://a/b c",
    "configmap://a/b\n",
    "configmap://../b",
]


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("pvc://models", ClaimPath("models", "")),
        ("pvc://models/", ClaimPath("models", "")),
        ("pvc://models/a/b.csv", ClaimPath("models", "a/b.csv")),
        ("pvc://models.v2/a%2e%2e/..b/c../", ClaimPath("models.v2", "a%2e%2e/..b/c..")),
        ("s3://models/a", None),
        ("configmap://a/b", None),
    ],
)
def test_what_a_claim_address_names(uri: str, found: ClaimPath | None) -> None:
    assert mounted_claim(uri) == found


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("configmap://rows/train.csv", ConfigMapKey("rows", "train.csv")),
        ("configmap://rows.v2/..Train_1", ConfigMapKey("rows.v2", "..Train_1")),
        ("pvc://a/b", None),
    ],
)
def test_what_a_config_map_address_names(uri: str, found: ConfigMapKey | None) -> None:
    assert mounted_config_map(uri) == found


@pytest.mark.parametrize("uri", OUTSIDE)
def test_what_could_lead_elsewhere_is_no_address(uri: str) -> None:
    assert not is_claim(uri)
    assert not is_config_map(uri)
    with pytest.raises(ValueError, match="://"):
        (mounted_claim if uri.startswith("pvc") else mounted_config_map)(uri)


@given(st.from_regex(r"(pvc|configmap)://[a-c./-]{0,12}", fullmatch=True))
def test_no_accepted_address_leaves_its_volume(uri: str) -> None:
    if is_claim(uri):
        claim = mounted_claim(uri)
        assert claim is not None
        volume, path = pod.CLAIMS / claim.claim, pod.CLAIMS / claim.claim / claim.path
    elif is_config_map(uri):
        key = mounted_config_map(uri)
        assert key is not None
        volume, path = pod.CONFIG_MAPS / key.name, pod.CONFIG_MAPS / key.name / key.key
    else:
        return
    assert path.is_relative_to(volume)
    assert ".." not in path.parts
    assert volume.parent in (pod.CLAIMS, pod.CONFIG_MAPS)
    assert PurePosixPath(*path.parts) == path
