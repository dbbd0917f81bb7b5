"""Fixtures that all tests share: tiny models made on the spot, caches of their own, and no way to the hub."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no defect of what is tested
settings.load_profile("untimed")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported, so before any test

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from finetune_trainer.data.tokenising.collate import RowSource
    from finetune_trainer.training.loop import TrainingResult
    from finetune_trainer.training.losses.classification import Objective

SENTENCES = [
    f"{start} {thing} {verb} {end}"
    for start, verb, end in (
        ("The", "was a joy", "and we would come again at once."),
        ("Our", "broke on the first day", "so nobody here can use it!"),
        ("Your", "is fine", "though it took far too long to arrive, sadly."),
        ("This", "works better than expected", "in the office and at home."),
    )
    for thing in ("printer", "window", "dinner by the sea", "morning train", "new colleague", "invoice")
]
_WIDE = {"initializer_range": 0.2}  # at the usual 0.02 all texts give nearly the same logits
_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64, **_WIDE}
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_BERT = {**_SMALL, **_NO_DROPOUT, "max_position_embeddings": 64, "pad_token_id": 0}
# Model type: its config's settings; all take 64 tokens.
_KINDS: dict[str, dict[str, Any]] = {
    "bert": _BERT,
    "electra": {**_BERT, "embedding_size": 16},
    "distilbert": {"n_layers": 2, "n_heads": 2, "dim": 32, "hidden_dim": 64, "max_position_embeddings": 64}
    | {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "pad_token_id": 0, **_WIDE},
    "roberta": {**_BERT, "max_position_embeddings": 66, "type_vocab_size": 1}
    | {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2},
    "modernbert": {**_SMALL, "max_position_embeddings": 64}
    | {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
    | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, **_WIDE},
    "llama": {**_SMALL, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0},
}
_DECODERS = ("gpt2", "llama")


def pytest_configure() -> None:
    """With FINETUNE_TEST_ROUNDING=1 every linear layer is a unit in the last place larger: another processor's sums.

    Any number of units will do, also negative ones. It holds for what runs in pytest's own process.
    """
    if units := float(os.environ.get("FINETUNE_TEST_ROUNDING", "0")):
        import torch

        plain = torch.nn.Linear.forward
        factor = 1 + units * torch.finfo(torch.float32).eps
        torch.nn.Linear.forward = lambda self, x: plain(self, x) * factor  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path_factory.mktemp("cache", numbered=True)))


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Texts whose words the tiny tokenizers know."""
    return SENTENCES


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from a model type to a folder with a random tiny model and its tokenizer, without dropout.

    Each model is made once; `labels` gives it a trained-looking head, further settings go into its config. The folder
    is shared: copy it before changing anything.
    """
    made: dict[str, Path] = {}

    def make(kind: str, labels: int = 0, **settings: Any) -> Path:
        key = repr((kind, labels, settings))
        if key not in made:
            made[key] = _save(tmp_path_factory.mktemp(kind), kind, labels, settings)
        return made[key]

    return make


def _save(folder: Path, kind: str, labels: int, settings: dict[str, Any]) -> Path:
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    tokenizer = _tokenizer(kind)
    values = {"vocab_size": len(tokenizer), **_KINDS[kind], **settings}
    config = AutoConfig.for_model(kind, **values, **({"num_labels": labels} if labels else {}))
    torch.manual_seed(7)
    model = (AutoModelForSequenceClassification if labels else AutoModel).from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(kind: str) -> Any:
    """Byte-level BPE without a padding token for decoders, and for RoBERTa with its ids; else WordPiece."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    names = ["input_ids", "attention_mask"]
    if kind in (*_DECODERS, "roberta"):
        special = ["<|endoftext|>"] if kind in _DECODERS else ["<s>", "<pad>", "</s>", "<unk>"]
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        raw.train_from_iterator(
            SENTENCES, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
        )
        if kind in _DECODERS:
            return PreTrainedTokenizerFast(
                tokenizer_object=raw, eos_token=special[0], bos_token=special[0], model_input_names=names
            )
        raw.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        tokens = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
        return PreTrainedTokenizerFast(
            tokenizer_object=raw,
            **tokens,
            pad_token="<pad>",
            unk_token="<unk>",
            model_input_names=names,
        )
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    raw = Tokenizer(models.WordPiece(_vocabulary(special), unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokens = {f"{token.strip('[]').lower()}_token": token for token in special}
    if kind in ("bert", "electra"):
        names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=raw, **tokens, model_input_names=names)


def _vocabulary(special: list[str]) -> dict[str, int]:
    """All words of the sentences and their letters: the library's own training gives another order in each process."""
    words = sorted({word for sentence in SENTENCES for word in re.findall(r"\w+|[^\w\s]", sentence.lower())})
    letters = sorted({letter for word in words for letter in word})
    tokens = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *words])
    return {token: number for number, token in enumerate(tokens)}


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., "TrainingResult"]:
    """A function that runs the loop over `rows`; what is not given has a plain value."""
    from finetune_api.metrics import find_metric
    from finetune_api.tasks import Task
    from finetune_api.training import Training
    from finetune_trainer.data.tokenising.batches import BatchPlan
    from finetune_trainer.training.loop import Loop, TrainingPlan
    from finetune_trainer.training.losses.base import RowLoss
    from finetune_trainer.training.state.best_weights import BestWeights

    def run(
        model: "PreTrainedModel",
        rows: "RowSource",
        targets: "torch.Tensor",
        objective: "Objective",
        *,
        steps: int = 8,
        learning_rate: float = 1e-2,
        batch_size: int = 8,
        per_device_batch_size: int = 0,
        token_budget: int = 2_048,
        evaluate: Callable[[], dict[str, float]] | None = None,
        evaluate_every: int = 2,
        metric: str = "evalLoss",
        observer: Any = None,
        **training: Any,
    ) -> "TrainingResult":
        from accelerate import Accelerator

        settings = Training.model_validate({"weight_decay": 0, "warmup_ratio": 0, **training})
        batches = BatchPlan(rows.lengths, batch_size, per_device_batch_size, token_budget, settings.seed)
        chosen = find_metric(Task.SEQUENCE_CLASSIFICATION, metric)
        assert chosen is not None
        plan = TrainingPlan(settings, learning_rate, steps, evaluate_every, chosen, batches)
        loop = Loop(model, rows, RowLoss(objective, targets), plan, Accelerator(cpu=True), best=BestWeights(tmp_path))
        return loop.run(evaluate, observer or Silent())

    return run


class Silent:
    """An observer of training that only counts."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.evaluations: list[tuple[int, dict[str, float], bool]] = []
        self.warnings: list[str] = []

    def trained(self, progress: Any, _tally: Any) -> None:
        self.steps.append(progress)

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        self.evaluations.append((step, metrics, is_best))

    def warned(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def silent() -> Silent:
    """An observer that keeps what it is told."""
    return Silent()


@pytest.fixture(scope="session")
def tiny_classifier(tiny_model: Callable[..., Path]) -> Callable[..., tuple[Any, Any, Any]]:
    """A function from a model type to (files, tokenizer, new model with a head for `names`)."""
    from finetune_api.model import ModelSource
    from finetune_api.tasks import ProblemType
    from finetune_trainer.models.classifier import load_classifier, load_tokenizer
    from finetune_trainer.models.fetching import fetch_model
    from finetune_trainer.storage import Site

    def load(
        kind: str,
        names: tuple[str, ...] = ("good", "broken", "late"),
        problem: ProblemType = ProblemType.SINGLE_LABEL,
        seed: int = 1,
        **settings: Any,
    ) -> tuple[Any, Any, Any]:
        files = fetch_model(ModelSource(uri=tiny_model(kind, **settings).as_uri()), Site(Path("/")))
        tokenizer = load_tokenizer(files)
        return files, tokenizer, load_classifier(files, tokenizer, problem, names, seed)

    return load


@pytest.fixture(scope="session")
def tiny_rows() -> Callable[..., "RowSource"]:
    """A function from texts (and pairs) and a tokenizer to the rows that a model takes."""
    from finetune_trainer.data.tokenising.collate import TokenRows
    from finetune_trainer.data.tokenising.tokens import tokenise

    def rows(texts: list[str], tokenizer: Any, pairs: list[str] | None = None) -> "RowSource":
        return TokenRows(tokenise(texts, pairs, tokenizer, 64), tokenizer.pad_token_id)

    return rows


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Programs that the test starts end by SIGINT and SIGHUP, also where nohup or a shell's `&` made us ignore them."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
