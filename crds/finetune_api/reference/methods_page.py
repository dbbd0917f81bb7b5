"""The page of tasks and methods, with what is built and what is planned."""

from finetune_api.checks.combinations import WHY_NOT
from finetune_api.fields import fields
from finetune_api.reference.markdown import table
from finetune_api.resolved import DEFAULTS, LEAST_STEPS, MOST_EPOCHS, STEPS_MATTER
from finetune_api.tasks import BUILT, MethodType, Task

_REASONS = list(dict.fromkeys(reason for methods in WHY_NOT.values() for reason in methods.values()))
_INTRODUCTION = """\
# Tasks and methods

The API names all of these. What is not built yet is refused with the failure `NotBuiltYet` before anything runs; it is
never ignored.

"""
_NAMED = "those whose parts are known by name"
_ASKED = [
    ("`Full`", "all weights, or the head and the top `trainableLayers`", "all", "is a whole model"),
    (
        "`FeatureExtraction`",
        "the output layer (`solver: AdamW`: the whole head), on stored vectors",
        "with a head that looks at one position",
        "is a whole model",
    ),
    ("`LoRA`, `DoRA`", "low-rank changes of linear modules, and the head", "all", "yes"),
    (
        "`QLoRA`",
        "the same over a base in 4 bits",
        "all with linear modules",
        "yes, into the base in its own format",
    ),
    ("`IA3`", "scales of keys, values and feed-forward inputs, and the head", _NAMED, "yes"),
    ("`PrefixTuning`", "keys and values before those of each layer, and the head", "those that take a cache", "no"),
    ("`PromptTuning`, `PTuning`", "embeddings before the text's, and the head", "those that take embeddings", "no"),
    ("`BottleneckAdapter`", "small networks after feed-forward (and attention), and the head", _NAMED, "no"),
    ("`Merge`", "nothing: several results of one base become one model", "all", "is a whole model, or yes"),
]
_FEW_ROWS = f"""
With {", ".join(f"`{task}`" for task in Task if task in STEPS_MATTER)} an open number of epochs grows where rows
are few: to as many as make {LEAST_STEPS} steps, {MOST_EPOCHS} at most. New heads and new kinds of output need steps,
however many rows there are; early stopping ends what no longer gets better.
"""
_MODELS = """
What can't be done with a model is refused in words before training.

- Parts are known by name in BERT, RoBERTa, XLM-R, ELECTRA, DistilBERT, ModernBERT, GPT-2, Llama, Mistral, Qwen, BART,
  T5 and all that call their modules the same. For `IA3`, `targetModules` and `feedforwardModules` name them in others.
- BERT, RoBERTa, ELECTRA, GPT-2, Llama and similar models take a cache; DistilBERT and ModernBERT don't.
- Virtual tokens count towards the longest input of the model.
- An adapter that can't be merged can't be the base model of another job either.
- `QLoRA` quantizes the linear modules of the body by bitsandbytes, weight by weight while they are loaded: the whole
  model is never in memory. Embeddings and heads stay as they are. It runs on CPUs too, where it is slower than `LoRA`.
  Experts that an architecture keeps as one tensor (Mixtral's) are no linear modules and stay as they are.
- Bases that are frozen stay in the number format of their files (BF16, FP16), and compute in `training.precision`;
  what is trained is FP32. `Full` and `Merge` hold all weights in FP32.
"""
_DEFAULTS = """
## Defaults

What a job leaves out is set by its task and method. The values in force are in `status.resolved` and in the report.
Those of `FeatureExtraction` hold where its head is trained in steps (`solver: AdamW`); else it is solved.
Some are measured, others were published: [where they come from](../decisions/0029-where-the-defaults-come-from.md).

"""


def methods_page() -> str:
    """Task by method, the defaults of what is built, and the fields of each method, as Markdown."""
    header = ["Method", *(f"`{task}`" for task in Task)]
    rows = [[f"`{method}`", *(_state(task, method) for task in Task)] for method in MethodType]
    return (
        _INTRODUCTION
        + table(header, rows)
        + _notes()
        + _models()
        + _DEFAULTS
        + _defaults()
        + "\n## Settings\n\n"
        + _settings()
    )


def _state(task: Task, method: MethodType) -> str:
    if method in BUILT.get(task, ()):
        return "**built**"
    return f"no [^{_REASONS.index(WHY_NOT[task][method]) + 1}]" if method in WHY_NOT[task] else "planned"


def _notes() -> str:
    return (
        "\n" + "\n".join(f"[^{number}]: {_sentence(reason)}" for number, reason in enumerate(_REASONS, start=1)) + "\n"
    )


def _models() -> str:
    header = ["Method", "Trains", "Models", "Can be merged"]
    return "\n## What a method asks of a model\n\n" + table(header, [list(row) for row in _ASKED]) + _MODELS


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}."


def _defaults() -> str:
    header = ["Task", "Method", "`epochs`", "`learningRate`", "`batchSize`", "`maxLength`"]
    rows = [
        [f"`{task}`", f"`{method}`", f"{d.epochs:g}", f"{d.learning_rate:g}", str(d.batch_size), str(d.max_length)]
        for task, methods in DEFAULTS.items()
        for method, d in methods.items()
        if d.epochs  # nothing is trained otherwise
    ]
    return table(header, rows) + _FEW_ROWS


def _settings() -> str:
    rows = []
    for path, field in fields().items():
        _, _, name = path.partition("spec.method.")
        if "." in name and not name.endswith("[]"):
            default = "" if field.default in (None, "") else f"`{_plain(field.default)}`"
            rows.append([f"`{name}`", field.kind, default, field.bounds, " ".join(field.description.split())])
    return table(["Field of `spec.method`", "Type", "Default", "Bounds", "Meaning"], rows)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
