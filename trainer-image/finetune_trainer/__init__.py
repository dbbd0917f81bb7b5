"""Fine-tunes, evaluates and reports on Hugging Face models from a FineTuneJob."""

from finetune_trainer import deferred_bitsandbytes

__version__ = "0.1.0"

deferred_bitsandbytes.defer()
