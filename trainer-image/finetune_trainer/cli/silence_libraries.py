"""Silences libraries on the terminal: their relevant messages are reported by the trainer itself."""

import logging
import os
import sys
import warnings

_SETTINGS = {
    "TOKENIZERS_PARALLELISM": "true",  # no warning about forks, and all cores
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DATASETS_VERBOSITY": "error",
}


def silence_libraries() -> None:
    """Silence warnings, logs and progress bars of libraries. Call it before they are imported.

    What the user set in the environment, or by Python's `-W`, stays as it is.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
