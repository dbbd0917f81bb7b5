"""Allocations that failed: how they are told from other errors, on CPUs and GPUs."""

import gc
import sys

_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "unable to allocate", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated: torch's, NumPy's, CUDA's or Python's own."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in _WORDS)


def release_memory() -> None:
    """Give back what a failed pass held; no exception of it may be referenced any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
