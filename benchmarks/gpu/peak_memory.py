"""Most memory that training has: of the GPU by PyTorch's allocator, or of the process on a CPU."""

from pathlib import Path


class PeakMemory:
    """The peak since `begin`, less what was there before the model."""

    def __init__(self) -> None:
        import torch

        self._on_gpu, self._before = torch.cuda.is_available(), 0

    def before_model(self) -> None:
        """Note what is there before the model is loaded."""
        self._before = self._now()

    def begin(self) -> None:
        """Begin anew."""
        if self._on_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def bytes(self) -> int:
        """The peak since `begin`."""
        return self._peak() - self._before

    def _now(self) -> int:
        if not self._on_gpu:
            return _of_process("VmRSS")
        import torch

        return int(torch.cuda.memory_allocated())

    def _peak(self) -> int:
        if not self._on_gpu:
            return _of_process("VmHWM")
        import torch

        return int(torch.cuda.max_memory_allocated())


def _of_process(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
