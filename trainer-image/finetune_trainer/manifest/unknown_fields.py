"""Suggestions for unknown fields."""

from typing import Any

from finetune_api.fields import FieldPath, children, fields, format_path, schema_path
from finetune_api.job import FineTuneJob
from finetune_api.naming import near_names
from finetune_api.renamed import first_names_found, present_paths, renames_in
from finetune_api.spec import Spec

FAMILIAR = {
    "lr": "spec.training.learningRate",
    "num_train_epochs": "spec.training.epochs",
    "num_epochs": "spec.training.epochs",
    "per_device_train_batch_size": "spec.training.perDeviceBatchSize",
    "micro_batch_size": "spec.training.perDeviceBatchSize",
    "train_batch_size": "spec.training.batchSize",
    "layerwise_lr_decay": "spec.method.full.layerwiseLrDecay",
    "activation_checkpointing": "spec.training.activationCheckpointing",
    "gradient_checkpointing": "spec.training.activationCheckpointing",
    "lr_scheduler_type": "spec.training.lrSchedulerType",
    "warmup_steps": "spec.training.warmupRatio",
    "label_smoothing_factor": "spec.training.labelSmoothing",
    "neftune_noise_alpha": "spec.training.neftuneNoiseAlpha",
    "optim": "spec.training.optimizer",
    "attn_implementation": "spec.training.attnImplementation",
    "flash_attention": "spec.training.attnImplementation",
    "sample_packing": "spec.training.packing",
    "adam_beta1": "spec.training.adamBeta1",
    "adam_beta2": "spec.training.adamBeta2",
    "adam_epsilon": "spec.training.adamEpsilon",
    "loraplus_lr_ratio": "spec.method.lora.loraplusLrRatio",
    "gradient_clipping": "spec.training.maxGradNorm",
    "early_stopping_patience": "spec.training.earlyStopping.patience",
    "fp16": "spec.training.precision",
    "bf16": "spec.training.precision",
    "metric_for_best_model": "spec.evaluation.metric",
    "eval_steps": "spec.evaluation.evalSteps",
    "save_steps": "spec.checkpoints.saveSteps",
    "save_total_limit": "spec.checkpoints.keepLast",
    "model_name_or_path": "spec.model.uri",
    "model_id": "spec.model.uri",
    "base_model": "spec.model.uri",
    "dataset": "spec.data.train",
    "train_file": "spec.data.train",
    "max_seq_length": "spec.data.maxLength",
    "test_size": "spec.data.split.test",
    "num_labels": "spec.data.labels.names",
    "output_dir": "spec.output.uri",
    "r": "spec.method.lora.rank",
    "lora_r": "spec.method.lora.rank",
    "lora_alpha": "spec.method.lora.alpha",
    "lora_dropout": "spec.method.lora.dropout",
    "merge_and_unload": "spec.output.mergeAdapter",
    "gpus": "spec.compute.gpusPerNode",
    "retries": "spec.runPolicy.backoffLimit",
    "sequence_len": "spec.data.maxLength",
    "max_seq_len": "spec.data.maxLength",
    "cutoff_len": "spec.data.maxLength",
    "datasets": "spec.data.train",
    "val_set_size": "spec.data.split.validation",
    "per_device_eval_batch_size": "spec.training.perDeviceBatchSize",
    "max_grad_norm": "spec.training.maxGradNorm",
    "lora_target_modules": "spec.method.lora.targetModules",
    "lora_rank": "spec.method.lora.rank",
    "adapter": "spec.method.type",
    "peft_type": "spec.method.type",
    "early_stopping_threshold": "spec.training.earlyStopping.minDelta",
    "loss_type": "spec.training.preference.loss",
    "rpo_alpha": "spec.training.preference.answerWeight",
    "simpo_gamma": "spec.training.preference.margin",
    "num_iterations": "spec.training.policy.numIterations",
    "epsilon": "spec.training.policy.clipRange",
    "max_completion_length": "spec.training.policy.maxNewTokens",
    "use_rslora": "spec.method.lora.rankStabilized",
    "num_generations": "spec.training.policy.numGenerations",
    "max_new_tokens": "spec.evaluation.generation.maxNewTokens",
    "num_beams": "spec.evaluation.generation.numBeams",
}
"""Names from Transformers, PEFT and other trainers, and the field that does the same here."""

_EXPLAINED = {
    "gradient_accumulation_steps": "remove it: batchSize is the effective batch size, perDeviceBatchSize x "
    "accumulation, and the trainer accumulates as often as that takes",
    "load_in_4bit": "use method.type: QLoRA",
    "use_dora": "use method.type: DoRA",
    "load_best_model_at_end": "remove it: the best state by evaluation.metric is kept always",
    "push_to_hub": "remove it: results go to output.uri",
    "report_to": "remove it: metrics go to Prometheus and into the report",
    "trust_remote_code": "remove it: code of models is never run",
}
"""Names that no field does the same as, and what does it instead."""

_MOST_PLACES = 3


def meant_field(path: FieldPath) -> str:
    """Suggestion for the unknown field at `path`."""
    name, above = str(path[-1]), path[:-1]
    if name in _EXPLAINED:
        return _EXPLAINED[name]
    renamed = first_names_found(FineTuneJob, _document_with(path))
    if path in renamed:
        return renamed[path]
    siblings = children(schema_path(above))
    near = near_names(name, siblings)
    if near and _same_letters(name, near[0]):
        return f"did you mean {near[0]}?"
    familiar = FAMILIAR.get(name, "").rpartition(".")[2]
    if familiar in siblings:
        return f"did you mean {familiar}?"
    elsewhere = _places_of(name)
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"remove it; fields of {format_path(above) or 'a job'}: {', '.join(siblings)}" if siblings else "remove it"


def _document_with(path: FieldPath) -> Any:
    """A document with nothing but the field at `path`."""
    document: Any = None
    for part in reversed(path):
        document = {part: document} if isinstance(part, str) else [*[None] * part, document]
    return document


def _places_of(name: str) -> list[str]:
    """Paths of fields called `name` in the spec, nearest to the root first."""
    if name in FAMILIAR:
        return [FAMILIAR[name]]
    renamed = list(present_paths(renames_in(Spec), name, "spec"))
    if renamed:
        return renamed[:_MOST_PLACES]
    inputs = [path for path in fields() if path.startswith(("spec.", "metadata."))]
    found = [path for path in inputs if _same_letters(path.rpartition(".")[2], name)]
    return sorted(found, key=lambda path: path.count("."))[:_MOST_PLACES]


def _same_letters(name: str, other: str) -> bool:
    return name.replace("_", "").replace("-", "").lower() == other.replace("_", "").replace("-", "").lower()
