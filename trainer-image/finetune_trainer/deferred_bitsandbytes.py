"""bitsandbytes out of PEFT's reach for programs that do not quantize.

PEFT imports it where it is installed: at its start, for one function that nothing here calls, and to look for quantized
modules whenever an adapter is applied. With it come torch's compiler and over two seconds of processor time for each
process that trains, though only 4-bit weights and 8-bit optimizers have a use for it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

_NAME = "bitsandbytes"


class WithoutBitsandbytes(MetaPathFinder):
    """Import finder that hides bitsandbytes from the import statement of `peft.helpers` alone."""

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> None:
        """Raise `ModuleNotFoundError` for that one import; leave all others to the next finders."""
        helpers = vars(sys.modules["peft.helpers"]) if "peft.helpers" in sys.modules else {}
        if fullname == _NAME and "nn" in helpers and "bnb" not in helpers:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def defer() -> None:
    """Install the finder, once."""
    if not any(isinstance(finder, WithoutBitsandbytes) for finder in sys.meta_path):
        sys.meta_path.insert(0, WithoutBitsandbytes())


@contextmanager
def hidden_unless_quantized(model: Any) -> Iterator[None]:
    """Inside the block, PEFT finds no bitsandbytes, unless it is loaded or `model`, of transformers, is quantized."""
    if _NAME in sys.modules or getattr(model, "is_quantized", False):
        yield
        return
    _forget_answers()
    sys.modules[_NAME] = None  # type: ignore[assignment]  # how Python is told that a module can't be imported
    try:
        yield
    finally:
        del sys.modules[_NAME]
        _forget_answers()


def _forget_answers() -> None:
    """Let PEFT look for bitsandbytes again, which it does once in a process."""
    from peft import import_utils

    import_utils.is_bnb_available.cache_clear()
    import_utils.is_bnb_4bit_available.cache_clear()
