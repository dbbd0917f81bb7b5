"""Fine-tunes, evaluates and reports on Hugging Face models from a FineTuneJob."""

__version__ = "0.1.0"
