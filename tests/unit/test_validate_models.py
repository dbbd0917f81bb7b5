"""What `validate` says of a model is what `run` finds: the same failure before a row is read, or a start."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_decoders import write_encoder_decoder

from finetune_trainer.cli.reachable_model import open_within

Job = Callable[..., str]
Cli = Callable[..., Any]
STORIES = Path(__file__).parents[1] / "models" / "stories260k"


@pytest.fixture
def bert(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of a tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


def break_it(model: Path, how: str) -> None:
    """Do one of the things that are wrong with models people have."""
    settings = json.loads((model / "config.json").read_text())
    tokenizer = model / "tokenizer_config.json"
    if how == "no folder":
        shutil.rmtree(model)
    elif how == "no config":
        (model / "config.json").unlink()
    elif how == "no weights":
        (model / "model.safetensors").unlink()
    elif how == "pickled weights":
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
    elif how == "no tokenizer":
        (model / "tokenizer.json").unlink()
    elif how == "nothing to pad with":
        said = json.loads(tokenizer.read_text())
        tokenizer.write_text(json.dumps({key: said[key] for key in said if key not in ("pad_token", "eos_token")}))
    elif how == "a tokenizer of another model":
        (model / "config.json").write_text(json.dumps(settings | {"vocab_size": 20}))
    elif how == "unknown type":
        (model / "config.json").write_text(json.dumps(settings | {"model_type": "weather"}))
    elif how == "an adapter over nothing":
        (model / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))


BROKEN = {
    "no folder": ("ModelNotFound", 66),
    "no config": ("ModelNotFound", 66),
    "no weights": ("ModelNotFound", 66),
    "pickled weights": ("UnsafeModel", 77),
    "no tokenizer": ("ModelUnsuitable", 64),
    "nothing to pad with": ("ModelUnsuitable", 64),
    "a tokenizer of another model": ("ModelUnsuitable", 64),
    "unknown type": ("ModelUnsuitable", 64),
    "an adapter over nothing": ("ModelUnsuitable", 64),
}


def both(cli: Cli, path: str) -> Iterator[dict[str, Any]]:
    """The failure as `validate` and as `run` tell it."""
    checked = cli("validate", path, "--json")
    yield json.loads(checked.out)["failure"]
    yield cli("run", path, "--json").events[-1]


@pytest.mark.causes("ModelNotFound")
@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_model_is_told_by_both(how: str, bert: Path, job: Job, cli: Cli) -> None:
    path = job(model=bert.as_uri())
    assert cli("validate", path).code == 0
    break_it(bert, how)
    checked, ran = both(cli, path)
    assert (checked["code"], checked["exitCode"]) == BROKEN[how]
    assert (ran["code"], ran["problems"]) == (checked["code"], checked["problems"])
    assert checked["problems"][0]["hint"]


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize(
    ("task", "kind", "words", "instead"),
    [
        ("CausalLM", "t5", "writes a text for a text", "use task Seq2Seq;"),
        ("MaskedLM", "gpt2", "continues texts", "use task CausalLM;"),
        ("Seq2Seq", "bert", "reads texts", "use task SequenceClassification, TokenClassification or MaskedLM;"),
        ("Seq2Seq", "llama", "continues texts", "use task CausalLM;"),
        ("CausalLM", "bert", "sees the words that it would have to predict", "or MaskedLM;"),
        ("Preference", "t5", "writes a text for a text", "a decoder such as Qwen"),
    ],
)
def test_a_model_of_another_family_is_told_with_its_tasks_before_rows_are_read(
    task: str, kind: str, words: str, instead: str, tiny_model: Callable[..., Path], job: Job, cli: Cli, tmp_path: Path
) -> None:
    model = tmp_path / "other"
    if kind == "t5":
        write_encoder_decoder(model, kind, ["a printer"])
    else:
        model = tiny_model(kind)
    path = Path(job(model=model.as_uri(), data={"train": [{"uri": "file://./nowhere.csv"}]}, method={"type": "LoRA"}))
    path.write_text(path.read_text().replace("SequenceClassification", task))
    for failure in both(cli, str(path)):
        (problem,) = failure["problems"]
        assert (failure["code"], problem["where"]) == ("ModelUnsuitable", "spec.model.uri")
        assert words in problem["message"]
        assert instead in problem["hint"]
        assert "Auto" not in problem["message"]


@pytest.mark.causes("ModelUnsuitable")
def test_a_model_that_is_too_short(job: Job, cli: Cli) -> None:
    for failure in both(cli, job(data={"maxLength": 65})):
        assert (failure["code"], failure["problems"][0]["where"]) == ("ModelUnsuitable", "spec.data.maxLength")
        assert "use at most 64" in failure["problems"][0]["hint"]


@pytest.mark.causes("ModelUnsuitable")
def test_chats_for_a_model_without_a_template(job: Job, cli: Cli, lines: Any) -> None:
    chats = [{"messages": [{"role": "user", "content": f"a {n}"}, {"role": "assistant", "content": "b"}]} for n in
             range(30)]  # fmt: skip
    path = Path(job(model=STORIES.as_uri(), data={"train": [{"uri": lines("c.jsonl", chats)}]}))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    for failure in both(cli, str(path)):
        assert failure["code"] == "ModelUnsuitable"
        assert "chat template" in failure["problems"][0]["message"]
    blocks: dict[str, Any] = {"data": {"train": [{"uri": lines("c.jsonl", chats)}], "chatTemplate": "{% if %}"}}
    path = Path(job(model=STORIES.as_uri(), **blocks))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    for failure in both(cli, str(path)):
        assert (failure["code"], failure["problems"][0]["where"].split()[-1]) == (
            "SpecInvalid",
            "spec.data.chatTemplate",
        )
        assert "line 1" in failure["problems"][0]["message"]


def test_a_hub_that_is_out_of_reach_is_a_warning(job: Job, cli: Cli) -> None:
    ended = cli("validate", job(model="hf://nobody/no-such-model"))
    assert ended.code == 0, ended.err
    (warning,) = [line for line in ended.out.splitlines() if "not looked at" in line]
    assert "the hub can't be reached" in warning
    facts = json.loads(cli("validate", job(model="hf://nobody/no-such-model"), "--json").out)
    assert facts["model"]["longestInput"] is None
    assert "can't be reached" in facts["model"]["notLookedAt"]
    assert facts["data"]["splits"]["train"]["lengths"] is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in FP16")
def test_a_precision_that_needs_a_gpu_is_refused_also_where_the_model_is_out_of_reach(job: Job, cli: Cli) -> None:
    ended = cli("validate", job(model="hf://nobody/no-such-model", training={"precision": "FP16"}), "--json")
    failure = json.loads(ended.out)["failure"]
    assert (failure["code"], failure["problems"][0]["where"].split()[-1]) == ("SpecInvalid", "spec.training.precision")


def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    from threading import Event

    from finetune_trainer.manifest import load_job
    from finetune_trainer.stages import checking
    from finetune_trainer.storage import Site

    loaded, waits = load_job(job(model="hf://a/b")), Event()
    monkeypatch.setattr(checking, "open_base", lambda *_: waits.wait())
    merged = checking.merged_spec(loaded.job.spec, Site(loaded.base), weights=False)
    base, why = open_within(merged, Site(loaded.base), seconds=0.05)
    waits.set()
    assert (base, why) == (None, "no answer within 0.05 s")
