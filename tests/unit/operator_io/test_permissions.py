"""The rights that the operator asks for are those that the chart grants."""

from pathlib import Path

import yaml

from finetune_operator.permissions import NEEDED

RBAC = Path(__file__).parents[3] / "charts" / "finetune-operator" / "templates" / "rbac.yaml"


def test_the_chart_grants_what_is_needed_and_no_more() -> None:
    text = RBAC.read_text()
    start = text.index('define "finetune-operator.rules"')
    lines = text[start:].partition("\n")[2].splitlines()
    block = "\n".join(line for line in lines[: lines.index("{{- end }}", 15)] if not line.startswith("{{"))
    granted = {
        (rule["apiGroups"][0], resource, verb)
        for rule in yaml.safe_load(block)
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    optional = {("finetune.dev", "finetunejobs/finalizers", "update")}  # for clusters that check owner references
    needed = {(group, resource, verb) for group, resource, verbs in NEEDED for verb in verbs}
    assert granted - optional == needed
