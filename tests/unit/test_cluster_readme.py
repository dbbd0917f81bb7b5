"""The commands that the README gives for a cluster, which `make kind-smoke` runs."""

import pytest
from readme import README, cluster_commands

TEXT = """\
## Try it

```sh
make run
```

## On Kubernetes

Text.

```sh
make cluster-up images
helm install finetune chart --wait

kubectl get finetunejobs --watch
```

```sh
another
```
"""


def test_commands_are_those_of_the_section() -> None:
    assert cluster_commands(TEXT) == [
        "make cluster-up images", "helm install finetune chart --wait", "kubectl get finetunejobs --watch",
    ]  # fmt: skip


def test_a_readme_without_commands_is_an_error() -> None:
    with pytest.raises(ValueError, match="On Kubernetes"):
        cluster_commands("## Try it\n\n```sh\nmake run\n```\n")


def test_the_readme_starts_with_the_cluster_and_ends_with_watching() -> None:
    first, *_, last = cluster_commands(README.read_text())
    assert first == "make cluster-up images"
    assert last.endswith(" --watch")
