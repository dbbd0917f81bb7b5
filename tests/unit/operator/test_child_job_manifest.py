"""The child Job, field by field, against checked-in YAML; `UPDATE_GOLDEN=1` rewrites it, for a look at the diff."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import SETTINGS, UID, finetune_job, snapshot, spec

from finetune_api import pod
from finetune_api.exit_codes import ExitCode
from finetune_api.failures import EXIT_CODE, RETRIED, FailureClass
from finetune_api.run_file import JobIdentity, Mode, RunFile, Stores
from finetune_api.spec import Spec
from finetune_operator.manifests.failure_policy import ENDS_THE_JOB, NOT_COUNTED
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.job_inputs import ANNOTATION_BYTES, JobInputs, run_file_json
from finetune_operator.manifests.names import child_name
from finetune_operator.manifests.sources import claims, secrets
from finetune_operator.plan import CreateJob
from finetune_operator.reconcile import reconcile
from finetune_operator.settings import CacheClaim, Profile, Settings, TrainerImage

GOLDEN = Path(__file__).parents[2] / "data" / "operator"
JOB = JobIdentity(name="movies", namespace="team", uid=UID)
GPU = Profile(
    priority_class_names=["urgent"],
    image="registry.example/finetune-trainer-cuda:1.0",
    requests={"cpu": "8", "memory": "64Gi"},
    limits={"cpu": "8", "memory": "64Gi"},
    max_gpus_per_node=4,
    work_size="200Gi",
    shared_memory_size="16Gi",
    node_selector={"gpu": "a100"},
    tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    runtime_class_name="nvidia",
    priority_class_name="training",
    cache=CacheClaim(claim_name="models", sub_path="hub"),
    labels={"cost-centre": "research", "app.kubernetes.io/name": "never"},
)
ADMIN = Settings(
    trainer=TrainerImage(
        name="registry.example/finetune-trainer@sha256:" + "0" * 64, pull_secrets=["registry"],
        service_account_name="trainer", pull_policy="Always",
    ),
    profiles={"default": Profile(), "gpu": GPU},
    stores=Stores(settings={"AWS_ENDPOINT_URL": "https://s3.example"}),
)  # fmt: skip
GPU_SPEC = spec(
    compute={"profile": "gpu", "gpusPerNode": 2, "queue": "research", "priorityClassName": "urgent"},
    runPolicy={"backoffLimit": 1, "activeDeadlineSeconds": 3600},
)
VOLUMES_SPEC = spec(
    model={"uri": "pvc://models/minilm"},
    data={
        "train": [{"uri": "configmap://rows/train.csv"}, {"uri": "pvc://corpus/a.csv"}],
        "test": [{"uri": "configmap://rows/test.csv"}, {"uri": "s3://x/y.csv", "secretRef": {"name": "reader"}}],
    },
    output={"uri": "pvc://corpus/out"},
)
MERGE_SPEC = spec(
    data={"test": [{"uri": "s3://rows/test.csv"}]},
    method={
        "type": "Merge",
        "merge": {
            "sources": [
                {"uri": "pvc://results/first"},
                {"uri": "s3://results/second", "secretRef": {"name": "reader-of-results"}, "weight": 2},
            ],
            "combination": "TIES",
        },
    },
    evaluation={},
    output={"uri": "s3://models/merged", "secretRef": {"name": "writer"}},
)
ORDERS = {
    "merge": (MERGE_SPEC, Mode.TRAIN, "default", SETTINGS, None),
    "cpu": (spec(), Mode.TRAIN, "default", SETTINGS, None),
    "volumes": (VOLUMES_SPEC, Mode.TRAIN, "default", SETTINGS, None),
    "gpu-queued": (GPU_SPEC, Mode.TRAIN, "gpu", ADMIN, 1800),
    "gpu-check": (GPU_SPEC, Mode.VALIDATE, "", ADMIN, 3600),
    "cache-is-data": (spec(data={"train": [{"uri": "pvc://models/rows.csv"}]}), Mode.TRAIN, "gpu", ADMIN, None),
}


def inputs(name: str) -> JobInputs:
    made_from, mode, profile, admin, seconds = ORDERS[name]
    chosen = admin.profiles[profile] if profile else admin.check_profile
    read = Spec.model_validate(made_from)
    return JobInputs(read, JOB, mode, chosen, admin, seconds, queue=read.compute.queue)


@pytest.mark.parametrize("name", ORDERS)
def test_child_job_is_the_checked_in_one(name: str) -> None:
    manifest, path = child_job(inputs(name)), GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump(manifest, sort_keys=False, width=120)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert manifest == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", ORDERS)
def test_run_file_is_read_back_as_it_was(name: str) -> None:
    template = child_job(inputs(name))["spec"]["template"]
    run = RunFile.model_validate_json(template["metadata"]["annotations"][pod.RUN_ANNOTATION])
    assert (run.spec, run.job, run.mode) == (inputs(name).spec, JOB, inputs(name).mode)


@pytest.mark.parametrize("name", ORDERS)
def test_every_mount_has_its_volume_and_its_own_path(name: str) -> None:
    template = child_job(inputs(name))["spec"]["template"]["spec"]
    mounts = template["containers"][0]["volumeMounts"]
    volumes = [volume["name"] for volume in template["volumes"]]
    assert {mount["name"] for mount in mounts} == set(volumes)
    assert len(volumes) == len(set(volumes))
    paths = [mount["mountPath"] for mount in mounts]
    assert len(paths) == len(set(paths))
    claims = [v["persistentVolumeClaim"]["claimName"] for v in template["volumes"] if "persistentVolumeClaim" in v]
    assert len(claims) == len(set(claims))


def test_retry_policy_follows_the_catalogue() -> None:
    """What the Job controller never retries is what the classes of failures never retry."""
    reported = set(FailureClass) - {
        FailureClass.STOPPED, FailureClass.FENCED, FailureClass.CLUSTER, FailureClass.LIMIT,
    }  # fmt: skip
    assert {EXIT_CODE[kind] for kind in reported - RETRIED} | {ExitCode.GATE_FAILED} == ENDS_THE_JOB
    assert {ExitCode.FENCED, ExitCode.STOPPED, ExitCode.INTERRUPTED} == NOT_COUNTED
    assert not ENDS_THE_JOB & NOT_COUNTED


job_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@given(name=job_names, uid=st.uuids().map(str), mode=st.sampled_from(Mode))
def test_names_leave_room_for_the_pods(name: str, uid: str, mode: Mode) -> None:
    child = child_name(JobIdentity(name=name, namespace="team", uid=uid), mode)
    assert len(f"{child}-511") <= 63
    assert uid[:8] in child


def test_names_differ_by_job_and_mode() -> None:
    long = "a" * 63
    others = [JobIdentity(name=long, namespace="team", uid=uid) for uid in ("1" * 36, "2" * 36)]
    assert len({child_name(job, mode) for job in others for mode in Mode}) == 4


text = st.text(max_size=128)
uris = st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=1000).map(
    "s3://b/{}".format
)
sources = st.builds(
    lambda uri, encoding, secret: {"uri": uri, "encoding": encoding, **secret},
    uris, st.sampled_from(["utf-8", "cp1252"]), st.sampled_from([{}, {"secretRef": {"name": "reader"}}]),
)  # fmt: skip
specs = st.fixed_dictionaries(
    {
        "task": st.just("SequenceClassification"),
        "model": uris.map(lambda uri: {"uri": uri}),
        "data": st.fixed_dictionaries(
            {
                "train": st.lists(sources, min_size=1, max_size=16),
                "test": st.lists(sources, max_size=16),
                "columns": st.fixed_dictionaries({"text": text, "label": text}),
                "labels": st.integers(0, 512).flatmap(
                    lambda count: st.sampled_from("aé語🙂\x01").map(
                        lambda letter: {"names": [letter * 200 + str(n) for n in range(count)]}
                    )
                ),
            }
        ),
        "output": uris.map(lambda uri: {"uri": uri, "secretRef": {"name": "writer"}}),
    }
)


@settings(max_examples=60, deadline=None)
@given(made_from=specs)
def test_every_accepted_spec_fits_into_its_annotation(made_from: dict[str, Any]) -> None:
    plan = reconcile(snapshot(of=finetune_job(made_from)))
    created = [write.manifest for write in plan.writes if isinstance(write, CreateJob)]
    for manifest in created:
        annotations = manifest["spec"]["template"]["metadata"]["annotations"]
        assert sum(len(key) + len(value.encode()) for key, value in annotations.items()) < 256 * 1024
        assert RunFile.model_validate_json(annotations[pod.RUN_ANNOTATION]).spec == Spec.model_validate(made_from)
    if not created:
        assert plan.status.failure is not None
        assert "KiB" in plan.status.failure.message


def test_a_spec_that_is_too_long_is_refused_with_its_size() -> None:
    names = [f"{n}{'語' * 250}" for n in range(512)]
    long = spec(data={"train": [{"uri": "s3://a/b.csv"}], "labels": {"names": names}})
    plan = reconcile(snapshot(of=finetune_job(long)))
    assert plan.writes == ()
    assert plan.status.failure is not None
    assert f"at most {ANNOTATION_BYTES // 1024} fit" in plan.status.failure.message
    assert "data.labels.names" in plan.status.failure.hint
    assert (
        len(run_file_json(JobInputs(Spec.model_validate(long), JOB, Mode.TRAIN, Profile(), SETTINGS)).encode())
        > 256 * 1024
    )


def test_the_secret_of_rows_to_predict_is_mounted_too() -> None:
    asked = spec(predict={"input": "s3://x/new.csv", "secretRef": {"name": "reader-of-new-rows"}})
    assert "reader-of-new-rows" in secrets(Spec.model_validate(asked))


def test_the_claim_and_the_secret_of_a_reward_model_are_mounted_too() -> None:
    reward = {"type": "Model", "uri": "pvc://results/judge/1", "secretRef": {"name": "reader-of-judge"}}
    judged = Spec.model_validate(spec(training={"policy": {"reward": reward}}))
    assert "reader-of-judge" in secrets(judged)
    assert claims(judged)["results"] is False
