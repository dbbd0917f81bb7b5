"""Jobs made from the results of others, on a node: a merge of two, a chain of adapters, a reward model that judges.

The merge is applied first, when there is nothing to merge yet, then all others at once. Some results are on a volume,
some in the object store.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubectl_commands import Json, Kubectl, wait_until
from object_store import content, report, upload, verified_manifest
from obstore.store import S3Store
from tuning_jobs import BUCKET, SECRET, START_SECONDS, Tuning, tiny_job

from finetune_api.manifest import Manifest

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "models" / "stories260k"
SECONDS = 400
"""Patience until all have ended: seven pods share one node, and some wait for others."""
LABELS = {"billing", "bug_report", "account_access", "how_to", "feature_request", "cancellation"}
WITH_SECRET = {"secretRef": {"name": SECRET}}
NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Lucy", "Tim", "Sue")
THINGS = ("a red ball", "a big dog", "a small cat", "a new hat")
BEGINNINGS = [f"Once upon a time, {name} had {thing}." for name in NAMES for thing in THINGS]

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Family:
    """The jobs, all of one namespace."""

    kubectl: Kubectl
    namespace: str

    def job(self, name: str) -> Tuning:
        return Tuning(self.kubectl, self.namespace, name)

    def progressing(self, name: str) -> str:
        return str(self.job(name).condition("Progressing").get("message", ""))

    def ended(self, name: str) -> Json:
        """The status of one that succeeded."""
        return self.job(name).wait_for_phase("Succeeded", seconds=SECONDS)

    def uid(self, name: str) -> str:
        return str((self.job(name).object or {})["metadata"]["uid"])

    def facts(self, name: str) -> tuple[str, str, str]:
        """Name, UID and digest, as those that name it hold them."""
        return name, self.uid(name), self.ended(name)["artifacts"]["digest"]

    def held(self, name: str) -> list[tuple[str, str, str]]:
        """The same of all that a job was made from."""
        return [(parent["name"], parent["uid"], parent["digest"]) for parent in self.ended(name)["parents"]]


@pytest.fixture(scope="module")
def family(kubectl: Kubectl, store: S3Store, namespace_with_credentials: Callable[[str], str]) -> Family:
    namespace = namespace_with_credentials("builds")
    upload(
        store, "models/stories260k", [file for file in STORIES.iterdir() if file.suffix in (".json", ".safetensors")]
    )
    good, bad = "She was very happy.", "Once there was a big dog named Max."
    store.put("data/beginnings.jsonl", lines({"prompt": prompt} for prompt in BEGINNINGS))
    store.put("data/pairs.jsonl", lines({"prompt": p, "chosen": good, "rejected": bad} for p in BEGINNINGS))
    kubectl("apply", "-n", namespace, "-f", str(ROOT / "examples" / "cluster" / "results-volume.yaml"))
    made = Family(kubectl, namespace)
    merged, *others = of_tickets(namespace)
    kubectl.apply(merged)
    wait_until("the merge misses its base", lambda: "no FineTuneJob base" in made.progressing("merged"), START_SECONDS)
    kubectl.apply(*of_rewards(namespace), *others)
    return made


def lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def of_tickets(namespace: str) -> list[Json]:
    """`base` goes to a volume; `one` and `two` are adapters over it; `merged` is made of both, `onward` from `one`."""
    base = {"uri": "finetunejob://base", "secretRef": None}
    sources = [{"uri": "finetunejob://one", "weight": 2}, {"uri": "finetunejob://two"}]
    merge = {"type": "Merge", "merge": {"sources": sources}}
    on_volume = {"uri": "pvc://results/models", "secretRef": None}
    merged = tiny_job(
        "merged", namespace, model=base, method=merge, data={"maxRows": None}, output={"mergeAdapter": True}
    )
    merged["spec"] |= {"training": {}, "evaluation": {}}
    return [
        merged,
        tiny_job("onward", namespace, model={"uri": "finetunejob://one", "secretRef": None}),
        tiny_job("two", namespace, model=base, method={"type": "LoRA"}, training={"seed": 7}, output=on_volume),
        tiny_job("one", namespace, model=base, method={"type": "LoRA"}),
        tiny_job("base", namespace, output=on_volume),
    ]


def of_rewards(namespace: str) -> list[Json]:
    """`judge` learns which of two answers is better; `writer` writes stories, and `judge` rewards them."""
    rows: Json = {"columns": None, "maxRows": None, "maxLength": 64}
    policy = {"reward": {"type": "Model", "uri": "finetunejob://judge"}, "numGenerations": 4}
    writer = tiny_job(
        "writer",
        namespace,
        task="PolicyOptimization",
        model={"uri": f"{BUCKET}/models/stories260k"},
        data={
            **rows,
            "train": [{"uri": f"{BUCKET}/data/beginnings.jsonl", **WITH_SECRET}],
            "promptTemplate": "{prompt}",
        },
        training={"epochs": None, "maxSteps": 4, "batchSize": 4, "learningRate": 0.001, "policy": policy},
        evaluation={"metric": "meanReward", "evalSteps": 2, "generation": {"maxNewTokens": 8}},
    )
    judge = tiny_job(
        "judge",
        namespace,
        task="RewardModel",
        data={**rows, "train": [{"uri": f"{BUCKET}/data/pairs.jsonl", **WITH_SECRET}]},
        training={"epochs": 3, "batchSize": 8, "learningRate": 0.003},
    )
    return [writer, judge]


def in_store(store: S3Store, status: Json) -> Manifest:
    """The manifest of a result in the object store, once every file is as it says."""
    return verified_manifest(store, prefix_of(status))


def prefix_of(status: Json) -> str:
    return str(status["artifacts"]["model"]).removeprefix(f"{BUCKET}/").removesuffix("/model")


def predicted(status: Json, rows: list[Json], folder: Path, environment: dict[str, str]) -> list[Json]:
    """What the model in the object store makes of some rows, here."""
    (folder / "rows.jsonl").write_bytes(lines(rows))
    trainer = Path(sys.executable).with_name("finetune-trainer")
    command = [trainer, "predict", status["artifacts"]["model"], str(folder / "rows.jsonl"), "--format", "jsonl"]
    settings = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_merge_is_made_of_the_results_that_were_pinned(
    family: Family, store: S3Store, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    status = family.ended("merged")
    assert family.held("merged") == [family.facts(name) for name in ("base", "one", "two")]
    manifest = in_store(store, status)
    assert [(merged.uri, merged.uid, merged.digest) for merged in manifest.lineage.merged] == [
        (f"finetunejob://{name}", uid, digest) for name, uid, digest in map(family.facts, ("one", "two"))
    ]
    measured = dict(report(store, prefix_of(status)))["merge"]
    assert [source["job"] for source in measured["sources"]] == ["one", "two"]  # type: ignore[index]
    rows = predicted(status, [{"text": "I was charged twice."}], tmp_path, s3_environment)
    assert {row["label"] for row in rows} <= LABELS


def test_the_story_of_a_merge_tells_whom_it_waited_for(family: Family) -> None:
    family.ended("merged")
    events = [(event["reason"], event["message"]) for event in family.job("merged").events()]
    reasons = [reason for reason, _ in events]
    assert reasons[:6] == ["Accepted", "ParentMissing", "ParentNotFinished", *["ParentFinished"] * 3]
    assert reasons[-1] == "Succeeded"
    taken = [message for reason, message in events if reason == "ParentFinished"]
    assert sorted(text.split()[5].rstrip(",") for text in taken) == ["base", "one", "two"]


def test_a_job_goes_on_from_an_adapter_whose_base_is_on_a_volume(
    family: Family, store: S3Store, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    """`one` is in the object store, and stands on `base`, which is on a claim that only `base` named."""
    status = family.ended("onward")
    assert family.held("onward") == [family.facts("one")]
    manifest = in_store(store, status)
    assert (manifest.lineage.model_uri, manifest.lineage.parent_uid) == ("finetunejob://one", family.uid("one"))
    adapter = json.loads(content(store, f"{prefix_of(family.ended('one'))}/model/adapter_config.json"))
    assert adapter["base_model_name_or_path"] == f"pvc://results/models/base/{family.uid('base')}/model"
    rows = predicted(status, [{"text": "I was charged twice."}], tmp_path, s3_environment)
    assert {row["label"] for row in rows} <= LABELS


def test_a_reward_model_of_another_job_judges(
    family: Family, store: S3Store, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    status = family.ended("writer")
    assert family.held("writer") == [family.facts("judge")]
    in_store(store, family.ended("judge"))
    in_store(store, status)
    curves: Any = report(store, prefix_of(status))["curves"]
    rewards = [point["figures"]["meanReward"] for point in curves if point.get("figures")]
    assert len(rewards) == 4
    assert len(set(rewards)) > 1, "scores of a model, not of a rule"
    (row,) = predicted(status, [{"prompt": BEGINNINGS[0]}], tmp_path, s3_environment)
    assert any(isinstance(value, str) and value.strip() for name, value in row.items() if name != "prompt"), row


def test_kubectl_shows_what_a_job_was_made_from(family: Family, kubectl: Kubectl) -> None:
    family.ended("merged")
    path = "jsonpath={.status.parents[*].name}"
    assert kubectl("get", "ftj", "merged", "-n", family.namespace, "-o", path) == "base one two"
    with_parents = [name for name in ("judge", "base") if family.ended(name).get("parents")]
    assert with_parents == []
