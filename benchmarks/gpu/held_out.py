"""Loss of a trained model on the answers of held-out rows, measured alike for all sides."""

from pathlib import Path
from typing import Any

from gpu.inputs import read_rows


def held_out_loss(folder: Path, tuned: Path) -> float:
    """Cross-entropy of a token of the held-out answers in nats, by the model or adapter in the folder `tuned`."""
    import torch
    from torch.nn import functional
    from transformers import AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder / "model"), _load(folder, tuned)
    total, tokens = 0.0, 0
    for row in read_rows(folder / "held-out.jsonl"):
        prompt, answer = (tokenizer(row[name])["input_ids"] for name in ("prompt", "completion"))
        ids = torch.tensor([*prompt, *answer, tokenizer.eos_token_id], device=model.device)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, len(prompt) - 1 : -1]
        total += float(functional.cross_entropy(logits.float(), ids[len(prompt) :], reduction="sum"))
        tokens += len(ids) - len(prompt)
    return total / tokens


def _load(folder: Path, tuned: Path) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    is_adapter = (tuned / "adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(folder / "model" if is_adapter else tuned, dtype=torch.bfloat16)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return (PeftModel.from_pretrained(model, tuned) if is_adapter else model).to(device).eval()
