"""Exported models end their answers with plain transformers: the files say which tokens end one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from chat_templates import CHATML
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from finetune_trainer.cli.app import main

KINDS = ["degrees", "cold", "wind"]
ROWS = [
    {"messages": [{"role": "user", "content": f"weather {n}"}, {"role": "assistant", "content": f"It is {kind}."}]}
    for n, kind in enumerate(KINDS * 2)
]  # fmt: skip
PAIRS = [
    {"prompt": row["messages"][:1], "chosen": "It is cold.", "rejected": f"wind {n}"} for n, row in enumerate(ROWS)
]


@pytest.fixture
def base(make_tokenizer: Callable[..., PreTrainedTokenizerBase], tmp_path: Path) -> Path:
    """A tiny model whose end of text is not what its chat template ends messages with."""
    tokenizer = make_tokenizer("bpe", CHATML)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **size, **ends)
    ).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def run(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that runs a job on rows and returns its output folder."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(task: str, rows: list[dict[str, Any]], **blocks: Any) -> Path:
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        spec: dict[str, Any] = {
            "task": task,
            "model": {"uri": base.as_uri()},
            "data": {"train": [{"uri": "file://./rows.jsonl"}], "split": {"validation": 0, "test": 0}, "maxLength": 64},
            "evaluation": {"baseline": False, "generation": {"maxNewTokens": 4}},
            "output": {"uri": f"file://{tmp_path}/out"},
            **blocks,
        }
        job = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}, "spec": spec}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        monkeypatch.setattr("sys.argv", ["finetune-trainer", "run", str(tmp_path / "job.yaml"), "--uid", "one"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return tmp_path / "out" / "job" / "one"

    return call


def ends_of(folder: Path) -> set[int]:
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def test_chats_are_predicted_in_every_layout(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = run("CausalLM", ROWS, training={"maxSteps": 1})
    asked = {"role": "user", "content": "weather?"}
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    rows: list[dict[str, Any]] = [
        {"messages": [asked, call, {"role": "tool", "content": "5"}], "tools": [{"name": "f"}]},
        {"system": "Be brief.", "messages": [asked]},
    ]
    shared = [{"system": "Be brief.", "conversations": [{"from": "human", "value": "weather?"}]}]

    def predicted(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (tmp_path / "given.jsonl").write_text("\n".join(map(json.dumps, given)))
        monkeypatch.setattr("sys.argv", ["finetune-trainer", "predict", str(folder), str(tmp_path / "given.jsonl")])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        assert not ended.value.code, said
        return [json.loads(line) for line in said.out.splitlines()]

    first, second = predicted(rows)
    assert first["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert first["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": {}}
    assert second["messages"] == [{"role": "system", "content": "Be brief."}, asked]
    assert predicted(shared) == [second]
    assert predicted([first])[0] == first, "what is written can be read again"


@pytest.mark.slow
def test_a_tuned_model_ends_its_answers_anywhere(run: Callable[..., Path]) -> None:
    training = {"epochs": 60, "learningRate": 0.01, "batchSize": 6}
    rare = {"saveSteps": 1_000}
    model_folder = run("CausalLM", ROWS, method={"type": "Full"}, training=training, checkpoints=rare) / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(model_folder), AutoModelForCausalLM.from_pretrained(model_folder)
    inputs = tokenizer.apply_chat_template(
        ROWS[1]["messages"][:1], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(written) == "It is cold.<|im_end|>"
    assert ends_of(model_folder) == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}


@pytest.mark.parametrize(
    ("task", "rows", "blocks"),
    [
        ("CausalLM", ROWS, {"method": {"type": "LoRA"}}),
        ("Preference", PAIRS, {"method": {"type": "LoRA"}, "output": {"mergeAdapter": True}}),
        (
            "PolicyOptimization",
            ROWS,
            {"training": {"policy": {"reward": {"type": "ExactMatch"}, "numGenerations": 2, "maxNewTokens": 4}}},
        ),
    ],
    ids=["adapter", "merged preferences", "policy"],
)
def test_every_way_of_tuning_says_what_ends_an_answer(
    run: Callable[..., Path], tmp_path: Path, task: str, rows: list[dict[str, Any]], blocks: dict[str, Any]
) -> None:
    blocks["output"] = {"uri": f"file://{tmp_path}/out", **blocks.get("output", {})}
    blocks["training"] = {"maxSteps": 1, **blocks.get("training", {})}
    folder = run(task, rows, **blocks)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert ends_of(folder / "model") == {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    is_adapter = (folder / "model" / "adapter_config.json").is_file()
    assert is_adapter == ("GenerationConfig.from_pretrained" in (folder / "README.md").read_text())
