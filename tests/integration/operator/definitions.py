"""The CRD of another version in place of the present one, on a real API server."""

import copy
import json
import re
from pathlib import Path

import yaml
from control_plane import ControlPlane
from tuning import Json

from finetune_api.fields import fields
from finetune_api.renamed import Renames, renames_in
from finetune_api.spec import Spec

CRD = Path(__file__).parents[3] / "crds" / "finetunejobs.yaml"
FIRST = Path(__file__).parents[2] / "data" / "first_version"
_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.finetune.dev"


class Definition:
    """The CRD of the control plane, to be changed for a while."""

    def __init__(self, cluster: ControlPlane) -> None:
        self._cluster = cluster
        self._own = yaml.safe_load(CRD.read_text())

    def newer(self) -> Json:
        """A copy to be changed."""
        return copy.deepcopy(self._own)

    def older(self) -> Json:
        """The CRD with the fields, names and defaults of the first version, less the rules about later ones."""
        first = json.loads((FIRST / "fields.json").read_text())
        older = self.newer()
        whole = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        _use_first_names(whole["properties"]["spec"], renames_in(Spec), "spec")
        later = _drop_later_fields(whole["properties"]["spec"], first["RunFile"]["spec"])
        later += _drop_later_fields(whole["properties"]["status"], first["Status"])
        rules = whole["x-kubernetes-validations"]
        rules[:] = [rule for rule in rules if not re.search(rf"\.({'|'.join(later)})\b", rule["rule"])]
        return older

    def replace(self, crd: Json | None = None) -> None:
        """Put another one in its place; none restores the own."""
        code, answer = self._cluster.request("GET", _PATH)
        assert code == 200, answer
        wanted = crd or self._own
        body = {**wanted, "metadata": {**answer["metadata"], "annotations": {}}}
        code, answer = self._cluster.request("PUT", _PATH, body)
        assert code == 200, answer


def block(crd: Json, *path: str) -> Json:
    """The schema of a block of the spec."""
    node: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for name in path:
        node = node["properties"][name]
    return node


def _use_first_names(schema: Json, renames: Renames, path: str) -> None:
    """Give fields and values below a block of the spec their first names, with the defaults that they had."""
    properties = schema["properties"]
    rules = schema.get("x-kubernetes-validations", [])
    rules[:] = [rule for rule in rules if not rule.get("optionalOldSelf")]
    for first, present in renames.fields.items():
        properties[first]["default"] = fields()[f"{path}.{present}"].default
    for name, words in renames.values.items():
        firsts = {present: first for first, present in words.items()}
        enum = [firsts.get(word, word) for word in properties[name]["enum"] if word not in words]
        properties[name] = {"type": "string", "enum": enum, "default": enum[0]}
    for name, below in renames.blocks.items():
        _use_first_names(properties[name], below, f"{path}.{name}")


def _drop_later_fields(schema: Json, known: Json) -> list[str]:
    """Take away of a block what the first version did not have; return the names."""
    properties = schema.get("properties", {})
    later = [name for name in properties if name not in known]
    for name in later:
        del properties[name]
    rules = schema.get("x-kubernetes-validations", [])
    rules[:] = [rule for rule in rules if not any(f"self.{name}" in rule["rule"] for name in later)]
    for name, child in properties.items():
        if isinstance(known[name], dict):
            later += _drop_later_fields(child.get("items", child), known[name])
    return later
