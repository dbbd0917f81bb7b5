"""bitsandbytes is loaded by what quantizes, not by PEFT's start; PEFT finds it all the same."""

import subprocess
import sys

_STARTS = """
import sys
import finetune_trainer
import peft, peft.helpers
print("bitsandbytes" in sys.modules, peft.helpers.bnb)
from peft.import_utils import is_bnb_4bit_available
print(is_bnb_4bit_available())
from peft.tuners.lora.bnb import Linear4bit
import bitsandbytes
print(hasattr(bitsandbytes.nn, "Linear4bit"))
"""


def test_peft_starts_without_bitsandbytes_and_finds_it_later() -> None:
    done = subprocess.run([sys.executable, "-c", _STARTS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False None", "True", "True"]
