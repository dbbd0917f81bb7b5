"""Device and mixed precision of a run."""

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from finetune_api.failures import SpecInvalid
from finetune_api.training import Precision

_UNLIMITED = 1 << 16
_MIXED_PRECISION = {Precision.FP32: "no", Precision.BF16: "bf16", Precision.FP16: "fp16"}


def choose_precision(wanted: Precision) -> Precision:
    """Resolve `Auto`, and refuse precisions that this machine does not support.

    BF16 on a CPU without matrix units for it is slower than FP32, so `Auto` looks for AMX there.
    Raises `SpecInvalid` for FP16 without a GPU, or BF16 on a GPU that lacks it.
    """
    has_gpu = torch.cuda.is_available()
    if wanted is Precision.AUTO:
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if has_gpu else _has_amx()
        return Precision.BF16 if fast else Precision.FP32
    if wanted is Precision.FP16 and not has_gpu:
        raise SpecInvalid("FP16 needs a GPU", where="spec.training.precision", hint="use Auto, FP32 or BF16")
    if wanted is Precision.BF16 and has_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name()
        raise SpecInvalid(f"{name} can't compute BF16", where="spec.training.precision", hint="use Auto, FP32 or FP16")
    return wanted


def allow_tf32(wanted: Precision) -> None:
    """Let a GPU multiply FP32 matrices in TF32, unless the job asks for FP32 itself.

    Only with a GPU: the setting would have CPUs round to BF16.
    """
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("highest" if wanted is Precision.FP32 else "high")


def build_accelerator(precision: Precision) -> Accelerator:
    """The Accelerator of one run, on the GPU if there is one.

    Its state is shared by the whole process: that of an earlier run, which may have had another precision, is dropped.
    """
    AcceleratorState._reset_state()  # noqa: SLF001 -- accelerate offers no public way
    return Accelerator(mixed_precision=_MIXED_PRECISION[precision], cpu=not torch.cuda.is_available())


def use_allotted_cpus() -> int:
    """Set the number of threads to the CPU limit of the container; returns it.

    Libraries count the node's cores; with a smaller quota they would be throttled most of the time. Whoever sets
    `OMP_NUM_THREADS` wants fewer still.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(cpus, _quota(), _wanted_threads())
    torch.set_num_threads(threads)
    return threads


def _wanted_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else _UNLIMITED


def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 -- torch offers no public question


def _quota() -> int:
    """CPUs by the cgroup's quota (version 2, then 1); a large number without one."""
    try:
        limit, period = _read("/sys/fs/cgroup/cpu.max").split()
    except (OSError, ValueError):
        try:
            limit, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
        except OSError:
            return _UNLIMITED
    return max(1, round(int(limit) / int(period))) if limit.strip().isdigit() else _UNLIMITED


def _read(path: str) -> str:
    return Path(path).read_text()
