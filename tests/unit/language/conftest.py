"""Fixtures of the language model tasks: a real small model, tiny ones with heads, and jobs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
CHATML = (
    "{% for message in messages %}<s>{{ message.role }}\n{{ message.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.fixture
def stories() -> PreTrainedTokenizerBase:
    """The tokenizer of a real small Llama, with a padding token."""
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@pytest.fixture
def chatty(stories: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The same with a chat template."""
    stories.chat_template = CHATML
    return stories


@pytest.fixture(scope="session")
def with_head(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from `gpt2`, `llama` or `bert` to a folder with a tiny random language model of that kind."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            base, folder = tiny_model(kind), tmp_path_factory.mktemp(f"{kind}-lm")
            auto = AutoModelForMaskedLM if kind == "bert" else AutoModelForCausalLM
            auto.from_pretrained(base).save_pretrained(folder)
            AutoTokenizer.from_pretrained(base).save_pretrained(folder)
            made[kind] = folder
        return made[kind]

    return make
