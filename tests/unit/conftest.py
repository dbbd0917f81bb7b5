"""Fixtures of the command line and of whole runs: small data, job files, and the commands as a user calls them."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from encoder_decoders import write_encoder_decoder

from finetune_api.report import Report
from finetune_trainer.cli.app import main

STARTS = ("The", "Our", "Your", "This")
UNER = Path(__file__).parents[1] / "data" / "uner_zh"
THINGS = ("printer", "window", "dinner by the sea", "morning train", "new colleague", "invoice")
VERDICTS = {"was a joy": "praise", "broke on the first day": "complaint", "is fine": "neither"}
ENDS = ("and we would come again at once", "so nobody here can use it", "in the office and at home")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def report(self) -> Report:
        """The report in the event `result`."""
        return Report.model_validate(next(event["report"] for event in self.events if event["event"] == "result"))

    @property
    def folder(self) -> Path:
        """The output folder in the event `result`."""
        return Path(
            next(event["output"] for event in self.events if event["event"] == "result").removeprefix("file://")
        )


def rows(verdicts: dict[str, str]) -> list[tuple[str, str]]:
    """Text and label, one of each kind in turn; the words are those that the tiny tokenizers know."""
    return [
        (f"{start} {thing} {verdict} {end}.", label)
        for start, thing, end in product(STARTS, THINGS, ENDS)
        for verdict, label in verdicts.items()
    ]


def as_csv(found: list[tuple[str, ...]], *header: str) -> str:
    """Rows as a CSV file."""
    return "".join(",".join(row) + "\n" for row in [header, *found])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`rows.csv` with 216 rows of three labels that a word or two decides, in the folder of the jobs."""
    (tmp_path / "rows.csv").write_text(as_csv(rows(VERDICTS), "text", "label"))
    return tmp_path / "rows.csv"


@pytest.fixture
def job(tmp_path: Path, data: Path, tiny_model: Callable[..., Path]) -> Callable[..., str]:
    """A function that writes a job file: blocks of the spec are merged over a small job that runs in a second."""

    def write(name: str = "tiny", *, model: str = "", **blocks: Any) -> str:
        spec: dict[str, Any] = {
            "task": "SequenceClassification",
            "model": {"uri": model or tiny_model("bert").as_uri()},
            "data": {"train": [{"uri": f"file://./{data.name}"}], "clean": {"dropDuplicates": False}},
            "method": {"type": "Full"},
            "training": {"epochs": 1, "learningRate": 0.003, "batchSize": 32},
            "output": {"uri": "file://./out"},
        }
        for block, fields in blocks.items():
            spec[block] = {**spec.get(block, {}), **fields}
        manifest = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name},
            "spec": spec,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(manifest))
        return str(path)

    return write


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], _restored: None) -> Callable[..., Ended]:
    """A function that calls `finetune-trainer` in this process and returns exit code and both streams."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # more threads than free cores make tiny models many times slower

    def call(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["finetune-trainer", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin), encoding="utf-8"))
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capfd.readouterr())

    return call


@pytest.fixture
def _restored() -> Iterator[None]:
    """The command line quietens libraries for good; tests after it should hear them."""
    environment, level = dict(os.environ), logging.getLogger().level
    yield
    os.environ.clear()
    os.environ.update(environment)
    logging.getLogger().setLevel(level)


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[str, list[dict[str, Any]]], str]:
    """A function that writes rows as JSON lines and returns their address."""

    def write(name: str, rows: list[dict[str, Any]]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return f"file://{tmp_path / name}"

    return write


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Callable[[set[str]], Path]:
    """A function from words (or letters) to the folder of a random BERT of one layer that knows these tokens alone."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    def save(known: set[str]) -> Path:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        vocabulary = {token: at for at, token in enumerate([*special, *sorted(known)])}
        raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        folder = tmp_path_factory.mktemp("reader")
        tokens = {f"{token.strip('[]').lower()}_token": token for token in special}
        PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=96, **tokens).save_pretrained(folder)
        torch.manual_seed(3)
        size = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128}
        config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=96, initializer_range=0.1, **size)
        BertForMaskedLM(config).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def zh_model(reader: Callable[[set[str]], Path]) -> Path:
    """A reader of Chinese, character by character."""
    letters = set((UNER / "train.iob2").read_text(encoding="utf-8").lower()) - set(" \t\n")
    return reader(letters | {f"##{letter}" for letter in letters})


@pytest.fixture(scope="session")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from a model type and texts to the folder of a random model whose tokenizer knows them.

    Further settings go into its config. The folder is shared: copy it before changing anything.
    """
    made: dict[str, Path] = {}

    def make(kind: str, texts: Iterable[str], vocabulary: int = 400, **settings: Any) -> Path:
        texts = list(texts)
        key = repr((kind, hash(tuple(texts)), vocabulary, settings))
        if key not in made:
            made[key] = write_encoder_decoder(tmp_path_factory.mktemp(kind), kind, texts, vocabulary, **settings)
        return made[key]

    return make
