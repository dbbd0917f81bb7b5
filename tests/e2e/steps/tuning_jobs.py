"""FineTuneJobs as the tests make and watch them."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubectl_commands import Json, Kubectl, wait_until

ENDED = ("Succeeded", "Failed", "GateFailed")
SECRET = "s3-credentials"  # noqa: S105 -- the name of one
BUCKET = "s3://finetune"
START_SECONDS = 90
"""Patience until a pod trains: the node may have many to start."""


def tiny_job(name: str, namespace: str, **changes: Any) -> Json:
    """A job that trains a tiny model on a few rows of the object store: seconds of work.

    `changes` replace blocks of its spec; a dictionary is merged into its block, and None in it leaves a field out.
    """
    secret = {"secretRef": {"name": SECRET}}
    spec: Json = {
        "task": "SequenceClassification",
        "model": {"uri": f"{BUCKET}/models/tiny", **secret},
        "data": {
            "train": [{"uri": f"{BUCKET}/data/support_tickets.csv", **secret}],
            "columns": {"text": "text", "label": "label"},
            "split": {"validation": 0.1, "test": 0.1, "seed": 42},
            "maxLength": 32,
            "maxRows": 120,
        },
        "method": {"type": "Full"},
        "training": {"epochs": 1, "batchSize": 16, "seed": 42},
        "evaluation": {"metric": "accuracy", "baseline": False},
        "output": {"uri": f"{BUCKET}/results", **secret},
        "compute": {"profile": "default"},
    }
    for block, content in changes.items():
        spec[block] = _merged(spec.get(block, {}), content)
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def endless_job(name: str, namespace: str, **changes: Any) -> Json:
    """A job that would train for days, on one core, and evaluates now and then."""
    training = {"epochs": None, "maxSteps": 10_000_000, "batchSize": 16, "seed": 42}
    evaluation = {"metric": "accuracy", "baseline": False, "evalSteps": 10_000}
    return tiny_job(name, namespace, **{"training": training, "evaluation": evaluation, **changes})


def saving_job(name: str, namespace: str, every: int, steps: int = 3_000) -> Json:
    """A job that saves a checkpoint every so many steps, and trains for a minute or so."""
    training = {"epochs": None, "maxSteps": steps, "batchSize": 16, "seed": 42, "earlyStopping": {"patience": 0}}
    evaluation = {"metric": "accuracy", "baseline": False, "evalSteps": 100_000}
    checkpoints = {"saveSteps": every}
    return tiny_job(name, namespace, training=training, evaluation=evaluation, checkpoints=checkpoints)


@dataclass(frozen=True)
class Tuning:
    """One FineTuneJob in the cluster."""

    kubectl: Kubectl
    namespace: str
    name: str

    @property
    def object(self) -> Json | None:
        """The whole object; None where it is gone."""
        return self.kubectl.get("finetunejob", self.name, self.namespace)

    @property
    def status(self) -> Json:
        """Its status; empty before there is one."""
        found = self.object
        assert found is not None, f"the FineTuneJob {self.namespace}/{self.name} is gone"
        return dict(found.get("status", {}))

    @property
    def phase(self) -> str:
        """Its phase."""
        return str(self.status.get("phase", ""))

    def condition(self, kind: str) -> Json:
        """A condition by type; empty where there is none."""
        return next((dict(c) for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def pods(self) -> list[Json]:
        """Its pods that are there, the oldest first."""
        found = self.kubectl.list("pods", self.namespace, f"finetune.dev/job={self.name}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def jobs(self) -> list[Json]:
        """Its child Jobs."""
        return self.kubectl.list("jobs", self.namespace, f"finetune.dev/job={self.name}")

    def events(self) -> list[Json]:
        """Its events, the oldest first."""
        field = f"--field-selector=involvedObject.kind=FineTuneJob,involvedObject.name={self.name}"
        printed = self.kubectl("get", "events", "-n", self.namespace, field, "-o", "json")
        return sorted(json.loads(printed)["items"], key=lambda event: str(event["metadata"]["name"]))

    def told(self) -> str:
        """What a user would look at: description and the end of the log."""
        told = self.kubectl("describe", "finetunejob", self.name, "-n", self.namespace)
        log = self.kubectl.tried("logs", "-n", self.namespace, "-l", f"finetune.dev/job={self.name}", "--tail=20")
        return f"{told[told.index('Status:') :]}\n{log.stdout}{log.stderr}"

    def wait_for_phase(self, *phases: str, seconds: float = START_SECONDS) -> Json:
        """Wait for one of the phases; return the status that has it. Fails at once in another final phase."""

        def look() -> Json | None:
            status = self.status
            phase = status.get("phase", "")
            wrong = phase in ENDED and phase not in phases
            assert not wrong, f"{self.name} ended as {phase}: {status.get('failure')}"
            return status if phase in phases else None

        return wait_until(f"{self.name} is {' or '.join(phases)}", look, seconds, tell=self.told)

    def wait_for_training(self, attempt: int = 1) -> Json:
        """Wait until that attempt has trained some steps; return the status."""

        def look() -> Json | None:
            status = self.wait_for_phase("Training")
            started = status.get("attempts", [{}])[-1].get("number") == attempt
            return status if started and status.get("progress", {}).get("step", 0) > 0 else None

        return wait_until(f"attempt {attempt} of {self.name} trains", look, START_SECONDS, tell=self.told)

    def wait_for_checkpoint(self, attempt: int = 1) -> int:
        """Wait until that attempt has saved a checkpoint; return its step."""

        def look() -> int:
            status = self.status
            since = status.get("attempts", [{}])[-1].get("resumedFrom", 0)
            steps = [info["step"] for info in status.get("checkpoints", []) if info["step"] > since]
            return max(steps, default=0)

        return wait_until(f"attempt {attempt} of {self.name} saves", look, START_SECONDS, tell=self.told)

    def wait_for_end(self, seconds: float = START_SECONDS) -> Json:
        """Wait for the end, whichever it is; return the status."""
        return self.wait_for_phase(*ENDED, seconds=seconds)

    def patch_run_policy(self, **fields: Any) -> None:
        """Change what may be changed later."""
        patch = json.dumps({"spec": {"runPolicy": fields}})
        self.kubectl("patch", "finetunejob", self.name, "-n", self.namespace, "--type=merge", "-p", patch)

    def delete(self) -> None:
        """Delete it and wait until it is gone."""
        self.kubectl("delete", "finetunejob", self.name, "-n", self.namespace, "--timeout=60s", "--ignore-not-found")


def moment(text: str) -> datetime:
    """Read a time of the Kubernetes API."""
    return datetime.fromisoformat(text)


def _merged(block: Any, content: Any) -> Any:
    """The block with what is new; what becomes None is left out."""
    if not (isinstance(block, dict) and isinstance(content, dict)):
        return content
    return {field: value for field, value in {**block, **content}.items() if value is not None}
