"""`model/finetune.json`: settings to prepare inputs as in training, and to decode outputs."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, ShortText
from finetune_api.data import Clean, Columns, DataFormat, DataSource
from finetune_api.evaluation import Generation
from finetune_api.method import Method, QLoRA, QuantType
from finetune_api.tasks import MethodType, ProblemType, Task

INFERENCE_NAME = "finetune.json"


class FileSettings(ApiModel):
    """File settings shared by all training sources."""

    format: DataFormat = DataFormat.AUTO
    """File format; `Auto` went by the ending."""
    encoding: ShortText = ""
    """Text encoding, empty for UTF-8."""
    delimiter: str = ""
    """Column separator of CSV files, empty where it was found from the header."""

    @classmethod
    def of(cls, sources: Sequence[DataSource]) -> "FileSettings":
        """The settings that all sources share."""
        formats = {source.format for source in sources}
        encodings, delimiters = {source.encoding for source in sources}, {source.delimiter for source in sources}
        return cls(
            format=formats.pop() if len(formats) == 1 else DataFormat.AUTO,
            encoding=encodings.pop() if len(encodings) == 1 and encodings != {"utf-8"} else "",
            delimiter=delimiters.pop() if len(delimiters) == 1 else "",
        )


class Quantization(ApiModel):
    """Quantization of the base below an adapter, by bitsandbytes."""

    quant_type: QuantType = QuantType.NF4
    """4-bit data type."""
    double_quant: bool = True
    """Whether the quantization constants are quantized too."""

    @classmethod
    def of(cls, method: Method) -> "Quantization | None":
        """Quantization of a method; None for an unquantized base."""
        if method.type is not MethodType.QLORA:
            return None
        settings = method.qlora or QLoRA()
        return cls(quant_type=settings.quant_type, double_quant=settings.double_quant)


class InferenceSettings(ApiModel):
    """Input preparation and output decoding of a fine-tuned model."""

    format: Literal["finetune.dev/model/v1"] = "finetune.dev/model/v1"
    task: Task
    """What the model does."""
    method: MethodType
    """How it was tuned."""
    problem_type: ProblemType
    """SingleLabel, MultiLabel or Regression."""
    labels: list[str] = Field(default_factory=list)
    """Names of the labels in the order of the logits."""
    max_length: Annotated[int, Field(ge=1)]
    """Longest input in tokens."""
    columns: Columns
    """Which column plays which role."""
    clean: Clean
    """Cleaning of the texts."""
    files: FileSettings = Field(default_factory=FileSettings)
    """How the training files were read: what `predict` tries where an input is not what it looks like."""
    prefix: str = ""
    """What all training sources put in front of an input; empty where they differ."""
    prompt_template: str | None = None
    """How a prompt is put to the model; left out, by its chat template where it has one (CausalLM)."""
    split_special_tokens: bool | None = None
    """Whether special tokens that a row spells are encoded as text; left out, those of prompts and chats are."""
    generation: Generation | None = None
    """How text is written, by models that write."""
    quantization: Quantization | None = None
    """How the base was quantized in training, so that the adapter meets what it was trained on; None if it was not."""
