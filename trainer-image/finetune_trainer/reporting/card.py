"""Model card (`README.md`) of the Hugging Face hub: YAML front matter, then Markdown."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from finetune_api.evaluation import Generation
from finetune_api.manifest import Lineage
from finetune_api.method import MERGEABLE
from finetune_api.report import Report
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_trainer.reporting import numbers
from finetune_trainer.reporting.distribution import split_names
from finetune_trainer.reporting.headline import (
    WITH_NEW_HEAD,
    compare_metrics,
    leading_metrics,
    problem_of,
    summarise,
    task_of,
)
from finetune_trainer.reporting.limitations import find_limitations

HUB_METRICS = {
    "accuracy": "accuracy",
    "f1Macro": "f1",
    "precisionMacro": "precision",
    "recallMacro": "recall",
    "matthews": "matthews_correlation",
    "rocAuc": "roc_auc",
    "meanSquaredError": "mse",
    "meanAbsoluteError": "mae",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "exactMatch": "exact_match",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "rougeL": "rouge",
    "chrF": "chrf",
    "perplexity": "perplexity",
}
"""Names of our metrics on the hub, where it has one."""


@dataclass(frozen=True)
class _Kind:
    """Hub names and usage template of the models of a task."""

    tag: str
    words: str
    usage: str


_KINDS = {
    Task.SEQUENCE_CLASSIFICATION: _Kind("text-classification", "text classification", "use_classifier.md.j2"),
    Task.TOKEN_CLASSIFICATION: _Kind("token-classification", "token classification", "use_tagger.md.j2"),
    Task.SEQ2SEQ: _Kind("text2text-generation", "text to text", "use_text_to_text.md.j2"),
    Task.CAUSAL_LM: _Kind("text-generation", "writing on", "use_causal.md.j2"),
    Task.MASKED_LM: _Kind("fill-mask", "filling in words", "use_masked.md.j2"),
    Task.PREFERENCE: _Kind("text-generation", "preferred answers", "use_causal.md.j2"),
    Task.POLICY_OPTIMIZATION: _Kind("text-generation", "rewarded answers", "use_causal.md.j2"),
    Task.REWARD_MODEL: _Kind("text-classification", "scoring answers", "use_reward.md.j2"),
}


_WHOLE = frozenset({MethodType.FULL, MethodType.FEATURE_EXTRACTION})
"""Methods that write a whole model."""


def render_card(report: Report, lineage: Lineage | None = None, *, hidden_layer: bool = False) -> str:
    """Render the model card of a run that made a model. `lineage` defaults to the report's own.

    With a `hidden_layer` in the head, the card shows how to load that.
    """
    template = _environment().get_template("card.md.j2")
    front = yaml.safe_dump(front_matter(report), sort_keys=False, allow_unicode=True, width=1000)
    return template.render(
        report=report,
        lineage=lineage or report.lineage,
        front=front,
        adapter=is_adapter(report),
        can_merge=_method(report) in MERGEABLE or report.merge is not None,
        hidden_layer=hidden_layer,
        is_ours=_method(report) is MethodType.BOTTLENECK_ADAPTER,
        base=base_model(report),
        problem=_problem(report),
        kind=_KINDS[task_of(report)].words,
        usage=_KINDS[task_of(report)].usage,
        has_new_head=task_of(report) in WITH_NEW_HEAD,
        asks=_asks(report),
        prompt=_prompt(report),
        prefix=_prefix(report),
        prompted=report.data is not None and "prompt" in report.data.columns,
        writing=_writing(report),
        summary=summarise(report),
        comparisons=compare_metrics(report),
        split_names=split_names(report.data) if report.data else [],
        limitations=find_limitations(report),
        merged_by=[one.metric.name for one in leading_metrics(report)],
    )


def _problem(report: Report) -> str:
    problem = problem_of(report)
    return "" if problem is ProblemType.AUTO else problem.value


def _asks(report: Report) -> bool:
    """Whether the input is a question about a passage."""
    columns = (report.spec.get("data") or {}).get("columns") or {}
    return bool(columns.get("question") or columns.get("context"))


def _prompt(report: Report) -> str:
    """Example prompt of a causal language model; empty where its chat template decides."""
    columns = report.data.columns if report.data else {}
    template = (report.spec.get("data") or {}).get("promptTemplate")
    if template and "prompt" in columns:
        return str(template).replace("{prompt}", f"{_prefix(report)}A question")
    return "" if columns.keys() & {"prompt", "messages", "chosen"} else f"{_prefix(report)}The beginning of a text"


def _prefix(report: Report) -> str:
    """Input prefix of the first source."""
    sources = (report.spec.get("data") or {}).get("train") or [{}]
    return str(sources[0].get("prefix") or "")


def _writing(report: Report) -> str:
    """Arguments of `generate` set by the job."""
    given = Generation.model_validate((report.spec.get("evaluation") or {}).get("generation") or {})
    beams = f", num_beams={given.num_beams}" if given.num_beams > 1 else ""
    repeats = f", no_repeat_ngram_size={given.no_repeat_ngram_size}" if given.no_repeat_ngram_size else ""
    return f", max_new_tokens={given.max_new_tokens}{beams}{repeats}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("finetune_trainer.reporting"),
        autoescape=False,  # noqa: S701 -- Markdown, not HTML; texts go through `inline`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name in ("figure", "signed", "count", "compact", "percent", "duration", "file_name"):
        environment.filters[name] = getattr(numbers, name)
    environment.filters["inline"] = inline
    return environment


def inline(text: str) -> str:
    """Escape a text for use inside a line of Markdown: no markup, HTML, table cells or line breaks."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#!~$])", r"\\\1", " ".join(text.split()))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;")


def is_adapter(report: Report) -> bool:
    """Whether the model folder holds an adapter alone."""
    if report.merge is not None:
        return report.merge.adapter
    output = report.spec.get("output") or {}
    return _method(report) not in _WHOLE and not output.get("mergeAdapter", False)


def _method(report: Report) -> MethodType:
    return MethodType(report.spec["method"]["type"])


def base_model(report: Report) -> str:
    """The base model for `from_pretrained`: a hub name, a path, or a store's URI."""
    scheme, _, rest = str(report.spec["model"]["uri"]).partition("://")
    return rest if scheme in {"hf", "file"} else f"{scheme}://{rest}"


def front_matter(report: Report) -> dict[str, Any]:
    """YAML front matter for the hub. The licence is unknown and left out."""
    adapter, kind = is_adapter(report), _KINDS[task_of(report)]
    hub = str(report.spec["model"]["uri"]).startswith("hf://")
    found = {ours: value for ours, value in report.evaluation.metrics.items() if ours in HUB_METRICS}
    return {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": kind.tag,
        **({"base_model": base_model(report)} if hub else {}),
        **({"base_model_relation": "merge" if report.merge else "adapter" if adapter else "finetune"} if hub else {}),
        "tags": [kind.tag, report.spec["method"]["type"].lower(), "finetune-trainer"],
        "metrics": [HUB_METRICS[name] for name in found],
        **({"model-index": [_index(report, found)]} if found else {}),
    }


def _index(report: Report, found: dict[str, float]) -> dict[str, Any]:
    """See https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    files = ", ".join(map(numbers.file_name, report.data.files)) if report.data and report.data.files else report.job
    kind = _KINDS[task_of(report)]
    measured = {
        "task": {"type": kind.tag, "name": kind.words.capitalize()},
        "dataset": {"name": files, "type": "custom", "split": report.evaluated_on},
        "metrics": [{"type": HUB_METRICS[n], "name": n, "value": round(value, 6)} for n, value in found.items()],
    }
    return {"name": report.job, "results": [measured]}
