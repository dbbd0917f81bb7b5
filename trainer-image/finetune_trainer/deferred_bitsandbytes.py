"""Import hook that defers `bitsandbytes` for programs that do not quantize.

PEFT's `peft.helpers` imports it where it is installed, for one function that nothing here calls. With it come torch's
compiler and a second of processor time for each process that trains, though only QLoRA has a use for it.
"""

import sys
from importlib.abc import MetaPathFinder


class WithoutBitsandbytes(MetaPathFinder):
    """Import finder that hides bitsandbytes from the import statement of `peft.helpers` alone."""

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> None:
        """Raise `ModuleNotFoundError` for that one import; leave all others to the next finders."""
        helpers = vars(sys.modules["peft.helpers"]) if "peft.helpers" in sys.modules else {}
        if fullname == "bitsandbytes" and "nn" in helpers and "bnb" not in helpers:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def defer() -> None:
    """Install the finder, once."""
    if not any(isinstance(finder, WithoutBitsandbytes) for finder in sys.meta_path):
        sys.meta_path.insert(0, WithoutBitsandbytes())
