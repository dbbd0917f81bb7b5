"""`README.md`: the model card, as the Hugging Face hub reads it: YAML front matter, then Markdown."""

import re
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from finetune_api.manifest import Lineage
from finetune_api.report import Report
from finetune_api.tasks import MethodType
from finetune_trainer.reporting import numbers
from finetune_trainer.reporting.distribution import split_names
from finetune_trainer.reporting.headline import compare_metrics, problem_of, summarise
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
}
"""Names of our metrics on the hub, where it has one."""


def render_card(report: Report, lineage: Lineage | None = None) -> str:
    """Render the model card of a run that made a model. `lineage` defaults to the report's own."""
    template = _environment().get_template("card.md.j2")
    front = yaml.safe_dump(front_matter(report), sort_keys=False, allow_unicode=True, width=1000)
    return template.render(
        report=report,
        lineage=lineage or report.lineage,
        front=front,
        adapter=is_adapter(report),
        base=base_model(report),
        problem=problem_of(report).value,
        summary=summarise(report),
        comparisons=compare_metrics(report),
        split_names=split_names(report.data) if report.data else [],
        limitations=find_limitations(report),
    )


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
    """Make a text harmless inside a line of Markdown: no markup, no HTML, no table cells, one line."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#!~$])", r"\\\1", " ".join(text.split()))
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;")


def is_adapter(report: Report) -> bool:
    """Whether the model folder holds an adapter alone, to be put on the base model."""
    output = report.spec.get("output") or {}
    return report.spec["method"]["type"] == MethodType.LORA and not output.get("mergeAdapter", False)


def base_model(report: Report) -> str:
    """The base model as `from_pretrained` takes it: a hub name, a path, or the URI of a store."""
    scheme, _, rest = str(report.spec["model"]["uri"]).partition("://")
    return rest if scheme in {"hf", "file"} else f"{scheme}://{rest}"


def front_matter(report: Report) -> dict[str, Any]:
    """The part that the hub reads. The licence is unknown and so left out."""
    adapter = is_adapter(report)
    hub = str(report.spec["model"]["uri"]).startswith("hf://")
    found = {ours: value for ours, value in report.evaluation.metrics.items() if ours in HUB_METRICS}
    return {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-classification",
        **({"base_model": base_model(report)} if hub else {}),
        **({"base_model_relation": "adapter" if adapter else "finetune"} if hub else {}),
        "tags": ["text-classification", report.spec["method"]["type"].lower(), "finetune-trainer"],
        "metrics": [HUB_METRICS[name] for name in found],
        **({"model-index": [_index(report, found)]} if found else {}),
    }


def _index(report: Report, found: dict[str, float]) -> dict[str, Any]:
    """See https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    files = ", ".join(map(numbers.file_name, report.data.files)) if report.data and report.data.files else report.job
    measured = {
        "task": {"type": "text-classification", "name": "Text classification"},
        "dataset": {"name": files, "type": "custom", "split": report.evaluated_on},
        "metrics": [{"type": HUB_METRICS[n], "name": n, "value": round(value, 6)} for n, value in found.items()],
    }
    return {"name": report.job, "results": [measured]}
