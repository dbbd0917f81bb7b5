"""`generation_config.json` of an exported model: its end-of-sequence ids."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_FILE = "generation_config.json"


def save_eos_ids(folder: Path, model: Any, ends: Sequence[int]) -> None:
    """Write `ends` as `eos_token_id`, at which transformers, vLLM and others stop.

    An adapter has no such file of its own: it gets the base's. PEFT does not read it, whoever loads the adapter has to.
    """
    file = folder / _FILE
    config: dict[str, Any] = {}
    if file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
    elif getattr(model, "generation_config", None) is not None:
        config = model.generation_config.to_diff_dict()
    if ends:
        config["eos_token_id"] = list(ends) if len(ends) > 1 else ends[0]
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
