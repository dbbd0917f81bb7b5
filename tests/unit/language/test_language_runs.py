"""Whole runs of the language model tasks on real text: the loss falls, figures are better, and the result predicts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune_api.report import Report
from finetune_trainer.cli.app import main

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "models" / "stories260k"
PLAYS = ROOT / "examples" / "data" / "shakespeare.jsonl"
PROBLEMS = ROOT / "tests" / "data" / "word_problems" / "word_problems.jsonl"


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[Report, Path]]:
    """A function that runs a job and returns its report and output folder."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(task: str, method: str = "Full", *, model: Path = STORIES, **blocks: Any) -> tuple[Report, Path]:
        spec: dict[str, Any] = {
            "task": task,
            "model": {"uri": model.as_uri()},
            "method": {"type": method},
            "output": {"uri": f"file://{tmp_path}/out"},
            **blocks,
        }
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        said = command(monkeypatch, capfd, "run", str(tmp_path / "job.yaml"), "--uid", "one")
        folder = tmp_path / "out" / "job" / "one"
        assert (folder / "MANIFEST.json").is_file(), said
        return Report.model_validate_json((folder / "report" / "report.json").read_text()), folder

    return call


def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Call `finetune-trainer`, and return what it said."""
    monkeypatch.setattr("sys.argv", ["finetune-trainer", *arguments])
    capfd.readouterr()
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    said = "".join(capfd.readouterr())
    assert not code, said
    return said


@pytest.fixture
def predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., list[dict[str, Any]]]:
    """A function from a model and rows to predictions."""

    def call(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        given, found = tmp_path / "given.jsonl", tmp_path / "found.jsonl"
        given.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command(monkeypatch, capfd, "predict", str(folder), str(given), "--output", str(found))
        return [json.loads(line) for line in found.read_text().splitlines()]

    return call


def code_of_card(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Run the code that the model card shows, as it stands, and return what it printed."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    capfd.readouterr()
    exec(code.group(1), {})  # noqa: S102 -- the card's code is what is on trial
    return capfd.readouterr().out


def data(path: Path, rows: int, **more: Any) -> dict[str, Any]:
    return {"train": [{"uri": path.as_uri()}], "maxRows": rows, "split": {"validation": 0.06, "test": 0.1}, **more}


def better(report: Report, *metrics: str) -> None:
    """The tuned model beats the untouched one, and the validation loss fell before it may have risen again."""
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    for name in metrics:
        gain = tuned[name] - before[name] if name == "tokenAccuracy" else before[name] - tuned[name]
        assert gain > 0, (name, before[name], tuned[name])
    losses = [point.validation["evalLoss"] for point in report.curves if point.validation]
    assert min(losses) < losses[0]


@pytest.mark.parametrize("method", ["Full", "LoRA"])
def test_a_domain_is_learned_from_raw_text(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    run: Callable[..., tuple[Report, Path]],
    predict: Callable[..., list[dict[str, Any]]],
    method: str,
) -> None:
    report, folder = run(
        "CausalLM",
        method,
        data=data(PLAYS, 60, maxLength=128),
        training={"epochs": 1, "learningRate": 0.003},
        evaluation={"metric": "perplexity", "generation": {"maxNewTokens": 8}},
    )
    better(report, "evalLoss", "perplexity", "tokenAccuracy", "bitsPerByte")
    assert report.data is not None
    train = report.data.splits["train"]
    assert train.rows == 60
    assert train.blocks is not None
    assert train.blocks > 60
    assert all(piece.learned for piece in report.data.sample[1:])
    assert report.details is not None
    assert report.details.samples
    assert all(sample.text and sample.expected and sample.predicted for sample in report.details.samples)
    if method == "Full":
        tied = AutoModelForCausalLM.from_pretrained(folder / "model")
        assert tied.lm_head.weight is tied.model.embed_tokens.weight
        assert "lm_head.weight" not in load_file(folder / "model" / "model.safetensors")
    (found,) = predict(folder, [{"text": "First Citizen:\n"}])
    assert found["text"] == "First Citizen:\n"
    assert found["continuation"]
    assert code_of_card(folder, monkeypatch, capfd).strip()


def test_instructions_are_learned_and_an_adapter_is_merged(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    run: Callable[..., tuple[Report, Path]],
    predict: Callable[..., list[dict[str, Any]]],
) -> None:
    report, folder = run(
        "CausalLM",
        "LoRA",
        data=data(
            PROBLEMS, 96, columns={"prompt": "question", "completion": "answer"}, promptTemplate="Q: {prompt}\nA: "
        ),
        training={"epochs": 1, "learningRate": 0.003},
        evaluation={"generation": {"maxNewTokens": 12, "answerAfter": "####"}},
        output={"uri": "file://./out", "mergeAdapter": True},
    )
    better(report, "evalLoss", "perplexity", "tokenAccuracy")
    assert {"exactMatch", "rougeL", "chrF"} <= report.evaluation.metrics.keys()
    assert report.details is not None
    assert all(sample.baseline and sample.expected and sample.text for sample in report.details.samples)
    assert report.data is not None
    read, learned = report.data.sample
    assert (read.learned, learned.learned) == (False, True)
    assert read.text.startswith("<s> Q: ")
    assert read.text.endswith("\nA: ")
    assert learned.text.endswith("</s>")
    assert not (folder / "model" / "adapter_config.json").exists()
    (found,) = predict(folder, [{"question": "How many?"}])
    assert found.keys() == {"prompt", "completion"}
    settings = json.loads((folder / "model" / "finetune.json").read_text())
    assert settings["promptTemplate"] == "Q: {prompt}\nA: "
    assert 'tokenizer("Q: A question\\nA: "' in (folder / "README.md").read_text()
    assert code_of_card(folder, monkeypatch, capfd).strip()
    page = (folder / "report" / "index.html").read_text()
    assert "First training example" in page


def test_chats_are_learned_by_a_template_of_the_job(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    run: Callable[..., tuple[Report, Path]],
    predict: Callable[..., list[dict[str, Any]]],
    lines: Callable[[str, list[dict[str, Any]]], str],
) -> None:
    rows = [json.loads(line) for line in PROBLEMS.read_text().splitlines()[:60]]
    chats = [
        {
            "messages": [
                {"role": "system", "content": "You count."},
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"].rpartition("#### ")[2]},
            ]
        }
        for row in rows
    ]
    template = (
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant: {% endif %}"
    )
    report, folder = run(
        "CausalLM",
        "LoRA",
        data={"train": [{"uri": lines("chats.jsonl", chats)}], "chatTemplate": template},
        training={"epochs": 2, "learningRate": 0.01},
        evaluation={"generation": {"maxNewTokens": 6}},
    )
    better(report, "evalLoss", "tokenAccuracy")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.chat_template == template
    (answered,) = predict(folder, [{"messages": [{"role": "user", "content": "2 + 2?"}]}])
    assert answered["messages"] == [{"role": "user", "content": "2 + 2?"}]
    assert any(character.isdigit() for character in answered["completion"])
    assert any(character.isdigit() for character in code_of_card(folder, monkeypatch, capfd))
    (prompted,) = predict(folder, [{"prompt": "2 + 2?"}])
    assert prompted == {"prompt": "2 + 2?", "completion": answered["completion"]}


def test_everything_can_be_learned_and_answers_are_measured(run: Callable[..., tuple[Report, Path]]) -> None:
    report, _ = run(
        "CausalLM",
        data=data(PROBLEMS, 40, columns={"prompt": "question", "completion": "answer"}),
        training={"epochs": 1, "learningRate": 0.003, "lossOn": "All"},
        evaluation={"generation": {"maxNewTokens": 4}},
    )
    better(report, "evalLoss")
    assert report.data is not None
    assert [piece.learned for piece in report.data.sample] == [False, True]
    assert report.data.sample[0].text == "<s>"


def test_hidden_words_are_learned(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    run: Callable[..., tuple[Report, Path]],
    predict: Callable[..., list[dict[str, Any]]],
    with_head: Callable[[str], Path],
    lines: Callable[[str, list[dict[str, Any]]], str],
    sentences: list[str],
) -> None:
    report, folder = run(
        "MaskedLM",
        "Full",
        model=with_head("bert"),
        data={"train": [{"uri": lines("texts.jsonl", [{"text": text} for text in sentences])}]},
        training={"epochs": 30, "learningRate": 0.01},
    )
    better(report, "evalLoss", "perplexity")
    (found,) = predict(folder, [{"text": "The [MASK] was a joy and we would come [MASK] at once."}])
    assert len(found["candidates"]) == 2
    assert "[MASK]" not in found["filled"]
    assert "'token_str'" in code_of_card(folder, monkeypatch, capfd)
    assert found["candidates"][0][0]["score"] >= found["candidates"][0][1]["score"]
