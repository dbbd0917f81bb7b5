"""Tiny models by name, and what can be broken in a copy of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from encoder_decoders import write_encoder_decoder

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
_SENTENCES = ["The printer was a joy", "Our invoice broke on the first day", "Your window is fine"]
_FNET = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 64}


def tiny_models(folder: Path, tiny_model: Callable[..., Path]) -> Callable[[str], Path]:
    """A function from a name to a tiny model: a kind, `stories`, or one of those that are made here, in `folder`."""
    made: dict[str, Path] = {"stories": STORIES}

    def named(name: str) -> Path:
        if name not in made:
            made[name] = _make(name, folder / name, tiny_model)
        return made[name]

    return named


def _make(name: str, folder: Path, tiny_model: Callable[..., Path]) -> Path:
    if name in ("t5", "bart"):
        return write_encoder_decoder(folder, name, _SENTENCES)
    if name == "masked":
        return _of_class("AutoModelForMaskedLM", tiny_model("bert"), folder, "bert", {})
    if name == "fnet":
        return _of_class("AutoModel", tiny_model("bert"), folder, "fnet", _FNET)
    return tiny_model(name)


def _of_class(auto: str, like: Path, folder: Path, kind: str, settings: dict[str, Any]) -> Path:
    """A model of a class with the tokenizer of another, whose settings it has where it is of the same kind."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(like)
    config = transformers.AutoConfig.from_pretrained(like)
    if settings:
        config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), pad_token_id=0, **settings)
    getattr(transformers, auto).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def break_model(model: Path, how: dict[str, Any]) -> None:
    """Break a model in its folder: change its config, or remove, rename, cut or divide its files."""
    if "config" in how:
        _update(model / "config.json", how["config"])
    for name in how.get("remove", []):
        (model / name).unlink(missing_ok=True)
    for old, new in how.get("rename", {}).items():
        (model / old).rename(model / new)
    for name, size in how.get("cut", {}).items():
        (model / name).write_bytes((model / name).read_bytes()[:size])
    if "shards" in how:
        _divide(model, how["shards"])
    if "adapter" in how:
        _wrap(model, how["adapter"], how.get("lora", ""))


def _update(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def _divide(model: Path, count: int) -> None:
    """Have the weights in several files, of which the last is gone."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = [f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]
    parts = [dict(list(weights.items())[number::count]) for number in range(count)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, model / name, {"format": "pt"})
    places = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (model / names[-1]).unlink()


def _wrap(model: Path, settings: dict[str, Any], lora: str) -> None:
    """Make an adapter over the model of its folder."""
    import torch
    from safetensors.torch import save_file

    base = model.rename(model.with_name("base"))
    model.mkdir()
    for file in base.iterdir():
        if not file.name.endswith(".safetensors"):
            (model / file.name).write_bytes(file.read_bytes())
    plain = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    (model / "adapter_config.json").write_text(json.dumps({**plain, "base_model_name_or_path": str(base), **settings}))
    if lora:
        name = f"base_model.model.model.layers.0.self_attn.{lora}.lora_"
        save_file({f"{name}A.weight": torch.ones(2, 64), f"{name}B.weight": torch.ones(64, 2)},
                  model / "adapter_model.safetensors")  # fmt: skip
