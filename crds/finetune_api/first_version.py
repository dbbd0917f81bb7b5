"""Optional fields of the first API version, which every released version knows.

A field that is added to one of these blocks later has no default in the CRD, is left out of run files where it has its
default, and does not count for the digest of a spec then. So an upgrade changes no stored object, a trainer of the
version before can read what it is given, and checkpoints are found again. Nothing is ever added here; names are those
that the first version has, see `renamed`.
"""

from typing import Any

from pydantic import BaseModel

from finetune_api.renamed import first_names, is_renamed

_FIRST: dict[str, str] = {
    "Spec": "method training evaluation checkpoints predict compute run_policy",
    "ModelSource": "revision secret_ref",
    "Data": (
        "train validation test split columns labels clean max_length max_target_length prompt_template "
        "chat_template max_rows max_bad_row_ratio order"
    ),
    "DataSource": "format weight prefix split subset revision encoding delimiter secret_ref",
    "Split": "validation test stratify seed",
    "Columns": (
        "text text_pair label tokens tags context question input target prompt completion messages chosen "
        "rejected group difficulty"
    ),
    "Labels": "problem_type names separator",
    "Clean": "strip_html collapse_whitespace lowercase drop_duplicates",
    "Method": (
        "type full feature_extraction lora qlora dora ia3 prefix_tuning prompt_tuning p_tuning bottleneck_adapter merge"
    ),
    "Full": "trainable_layers layerwise_decay",
    "FeatureExtraction": "pooling head_hidden_size head_dropout",
    "LoRA": "rank alpha dropout target_modules rank_stabilized",
    "QLoRA": "rank alpha dropout target_modules rank_stabilized quant_type double_quant",
    "DoRA": "rank alpha dropout target_modules rank_stabilized",
    "IA3": "target_modules feedforward_modules",
    "PrefixTuning": "virtual_tokens projection",
    "PromptTuning": "virtual_tokens init_text",
    "PTuning": "virtual_tokens encoder_hidden_size",
    "BottleneckAdapter": "style reduction_factor",
    "Merge": "combination density scale",
    "MergeSource": "weight secret_ref",
    "Training": (
        "epochs max_steps learning_rate batch_size device_batch_size scheduler warmup_ratio weight_decay "
        "max_grad_norm seed precision label_smoothing preference policy loss_on neftune_alpha "
        "activation_checkpointing class_weights early_stopping"
    ),
    "Preference": "loss beta margin answer_weight",
    "Policy": (
        "algorithm samples_per_prompt temperature top_p max_new_tokens kl_coefficient clip_range passes_per_rollout"
    ),
    "Reward": "uri secret_ref",
    "EarlyStopping": "patience min_delta",
    "Evaluation": "metric baseline few_shot gates retention group_column generation every_steps",
    "FewShot": "examples",
    "Gate": "min max max_regression min_improvement",
    "Retention": "data task columns",
    "Generation": "max_new_tokens num_beams no_repeat_ngram_size answer_after early_stopping",
    "Checkpoints": "every_steps keep_best keep_last",
    "Output": "merge_adapter secret_ref",
    "Predict": "secret_ref",
    "Compute": "profile nodes gpus_per_node queue priority_class_name",
    "RunPolicy": (
        "suspend backoff_limit max_preemptions active_deadline_seconds pre_running_deadline_seconds stall_seconds "
        "force_replace_seconds ttl_seconds_after_finished"
    ),
}
"""Names of the optional fields by model. A model that is not here is younger, with all of its fields."""

_FIELDS = {model: frozenset(names.split()) for model, names in _FIRST.items()}


def is_later(model: type[BaseModel], field: str) -> bool:
    """Whether the optional `field` was added to `model` after its first version."""
    return (
        model.__name__ in _FIELDS
        and field not in _FIELDS[model.__name__]
        and not is_renamed(model, field)
        and not model.model_fields[field].is_required()
    )


def spec_json(spec: BaseModel, *, only_set: bool = False) -> dict[str, Any]:
    """`spec` as JSON data with first names, without later fields at their defaults.

    With `only_set` it has nothing but what was written: defaults are left to who reads it.
    """
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_unset=only_set, exclude_none=only_set)
    _drop_later_defaults(spec, dumped)
    renamed: dict[str, Any] = first_names(type(spec), dumped)
    return renamed


def _drop_later_defaults(value: Any, dumped: Any) -> None:
    if isinstance(value, BaseModel):
        model = type(value)
        for name, info in model.model_fields.items():
            wire, held = info.serialization_alias or info.alias or name, getattr(value, name)
            if is_later(model, name) and held == info.get_default(call_default_factory=True):
                dumped.pop(wire, None)
            elif wire in dumped:
                _drop_later_defaults(held, dumped[wire])
    elif isinstance(value, list):
        for item, below in zip(value, dumped, strict=True):
            _drop_later_defaults(item, below)
