"""Check that a requested GPU is visible: training on a CPU instead would take days."""

from finetune_api.failures import GpuNotVisible
from finetune_api.spec import Spec


def check_gpu(spec: Spec) -> None:
    """Raise `GpuNotVisible` where the job requests a GPU and PyTorch sees none."""
    import torch

    if not spec.compute.gpus_per_node or torch.cuda.is_available():
        return
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        why, hint = "this image's PyTorch is built for CPUs", "use a profile whose image has PyTorch for GPUs"
    else:
        why = f"the node's driver is missing or too old for CUDA {torch.version.cuda}"
        hint = "check runtimeClassName and gpuResource of the profile, and the node's driver with nvidia-smi"
    message = f"{spec.compute.gpus_per_node} GPU is ordered, and PyTorch sees none: {why}"
    raise GpuNotVisible(message, where="spec.compute.gpusPerNode", hint=hint)
