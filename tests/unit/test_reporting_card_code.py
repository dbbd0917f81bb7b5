"""The Python code that a model card shows runs as it stands, on an adapter and on a whole model."""

import json
import re
from pathlib import Path

import pytest
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertTokenizerFast

from finetune_api.report import Report
from finetune_trainer.models.bottleneck import BottleneckConfig, register_bottleneck
from finetune_trainer.reporting.card import render_card

REPORT = Path(__file__).parents[1] / "data" / "reports" / "support_tickets.json"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "text", "to", "classify"]
LABELS = {0: "billing", 1: "delivery", 2: "other"}


register_bottleneck()
COMMON = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier"]}
SETTINGS = {
    "LoRA": LoraConfig(target_modules=["query"], **COMMON),
    "IA3": IA3Config(target_modules=["query", "output.dense"], feedforward_modules=["output.dense"], **COMMON),
    "BottleneckAdapter": BottleneckConfig(target_modules=["bert.encoder.layer.0.output.dense"], width=4, **COMMON),
}


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with eight hidden units, a head for two labels, and a tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    size = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=len(WORDS), **size)).save_pretrained(folder)
    return folder


def export(method: str, base: Path, folder: Path) -> None:
    """Save a model as a run of that method does."""
    model = BertForSequenceClassification.from_pretrained(
        base, num_labels=3, id2label=LABELS, ignore_mismatched_sizes=True
    )
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    model.config.save_pretrained(folder)
    if method != "Full":
        model = get_peft_model(model, SETTINGS[method])
    model.save_pretrained(folder)


@pytest.mark.parametrize("method", ["Full", *SETTINGS])
def test_the_code_of_the_card_runs(
    method: str, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export(method, tiny_base, tmp_path / "model")
    content = json.loads(REPORT.read_text(encoding="utf-8")) | {"lineage": None}
    content["spec"] |= {"model": {"uri": f"file://{tiny_base}"}, "method": {"type": method}}
    code = re.search(r"```python\n(.*?)```", render_card(Report.model_validate(content)), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(code.group(1), {})  # noqa: S102 -- the card's code is what is on trial
    assert re.search(r"'label': '(billing|delivery|other)'", capsys.readouterr().out)
