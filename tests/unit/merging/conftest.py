"""Fixtures of merges: results to be merged, and the jobs that merge them."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.job import FineTuneJob
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.run import run_job
from finetune_trainer.storage import Site

Cli = Callable[..., Any]
Job = Callable[..., str]
Tuned = Callable[..., Path]
Merged = Callable[..., str]
VERDICTS = {"was a joy": "praise", "broke on the first day": "complaint", "is fine": "neither"}


METHODS: dict[str, dict[str, Any]] = {
    "full": {"type": "Full"},
    "lora": {"type": "LoRA", "lora": {"rank": 2, "alpha": 4}},
    "stabilised": {"type": "LoRA", "lora": {"rank": 4, "alpha": 4, "rankStabilized": True}},
    "dora": {"type": "DoRA", "dora": {"rank": 2}},
    "ia3": {"type": "IA3"},
    "prompt": {"type": "PromptTuning", "promptTuning": {"numVirtualTokens": 4}},
    "deep": {"type": "FeatureExtraction", "featureExtraction": {"headHiddenSize": 8, "pooling": "Head"}},
}


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Callable[..., Path]:
    """A function from the name of a method and a seed to the output of a job over the tiny `bert`, made once.

    Copy it before changing anything.
    """
    folder, made = tmp_path_factory.mktemp("results"), dict[tuple[str, int], Path]()
    starts, things = ("The", "Our", "Your"), ("printer", "window", "invoice", "dinner by the sea")
    rows = [f"{start} {thing} {said},{label}\n" for start, thing in product(starts, things)
            for said, label in VERDICTS.items()]  # fmt: skip
    (folder / "rows.csv").write_text("text,label\n" + "".join(rows))

    def make(method: str, seed: int = 1) -> Path:
        if (method, seed) not in made:
            with pytest.MonkeyPatch.context() as patched:
                patched.setenv("FINETUNE_CACHE", str(folder / "cache"))
                made[method, seed] = _tune(folder, tiny_model("bert"), method, seed)
        return made[method, seed]

    return make


@pytest.fixture(scope="session")
def pair(result: Callable[..., Path]) -> tuple[Path, Path]:
    """Two whole models that differ in their seed."""
    return result("full", 1), result("full", 2)


def _tune(folder: Path, model: Path, method: str, seed: int) -> Path:
    spec = {
        "task": "SequenceClassification",
        "model": {"uri": model.as_uri()},
        "data": {"train": [{"uri": "file://./rows.csv"}]},
        "method": METHODS[method],
        "training": {"epochs": 2, "learningRate": 0.01, "seed": seed},
        "output": {"uri": "file://./out"},
    }
    job = FineTuneJob.model_validate({"metadata": {"name": f"{method}-{seed}"}, "spec": spec})
    ended = run_job(job, Site(folder), f"uid-{seed}", PlainObserver())
    assert ended.failure is None
    return folder / "out" / f"{method}-{seed}" / f"uid-{seed}"


@pytest.fixture
def tuned(cli: Cli, job: Job) -> Tuned:
    """A function that runs a short job and returns its output folder; `seed` makes results differ."""

    def run(name: str, method: str | dict[str, Any] = "Full", seed: int = 1, **blocks: Any) -> Path:
        how = {"type": method} if isinstance(method, str) else method
        training = {"epochs": 2, "learningRate": 0.01, "seed": seed, **blocks.pop("training", {})}
        ended = cli("run", job(name, method=how, training=training, **blocks), "--json")
        assert ended.code == 0, ended.out[-2000:]
        folder: Path = ended.folder
        return folder

    return run


@pytest.fixture
def merge_job(job: Job, data: Path) -> Merged:
    """A function from outputs (or whole sources) to a job file that merges them and measures on `rows.csv`."""

    def write(*outputs: Path | dict[str, Any], name: str = "merged", model: str = "", **blocks: Any) -> str:
        sources = [{"uri": source.as_uri()} if isinstance(source, Path) else source for source in outputs]
        file = Path(job(name, model=model))
        manifest = yaml.safe_load(file.read_text())
        spec = manifest["spec"]
        del spec["training"]
        spec["data"] = {"test": [{"uri": f"file://./{data.name}"}]}
        spec["method"] = {"type": "Merge", "merge": {"sources": sources, **blocks.pop("merge", {})}}
        file.write_text(yaml.safe_dump({**manifest, "spec": {**spec, **blocks}}))
        return str(file)

    return write


@pytest.fixture
def merged(cli: Cli) -> Callable[[str], Any]:
    """A function that runs a job, which must succeed."""

    def run(job: str) -> Any:
        ended = cli("run", job, "--json")
        assert ended.code == 0, ended.out[-3000:]
        return ended

    return run
