"""Commands of the README that lead from nothing to a trained model on a cluster."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def cluster_commands(text: str) -> list[str]:
    """Return the commands of the first block of shell in the section *On Kubernetes*.

    Raises `ValueError` where the README has no such block.
    """
    found = re.search(r"^## On Kubernetes\n.*?^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError("README.md has no block of commands under 'On Kubernetes'")
    return [line for line in found[1].splitlines() if line.strip()]
