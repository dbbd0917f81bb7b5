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


_APPLIES = """
import sys
import finetune_trainer
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model
from finetune_trainer.deferred_bitsandbytes import hidden_unless_quantized

sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
base = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2))
with hidden_unless_quantized(base):
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"]))
print("bitsandbytes" in sys.modules, sum("lora_A" in name for name, _ in adapted.named_parameters()))
adapted.merge_and_unload()
print("bitsandbytes" in sys.modules)
from peft.import_utils import is_bnb_4bit_available
print(is_bnb_4bit_available(), "bitsandbytes" in sys.modules)
"""


def test_an_adapter_is_applied_and_merged_without_bitsandbytes_that_stays_to_be_found() -> None:
    done = subprocess.run([sys.executable, "-c", _APPLIES], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False 1", "False", "True True"]
