"""Readable YAML of the definition: original order, long texts folded."""

from typing import Any

from yaml import SafeDumper, ScalarNode, dump

HEADER = (
    "# Generated from the models in crds/finetune_api by `python -m finetune_api.crd`. Don't edit; run `make crds`.\n"
)
_WIDTH = 110
_FOLDED_FROM = 60


class _Readable(SafeDumper):
    """YAML dumper that folds long texts and writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- the signature is PyYAML's
        return True


def _text(dumper: _Readable, text: str) -> ScalarNode:
    style = ">" if len(text) > _FOLDED_FROM and " " in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _text)


def manifest_text(manifest: dict[str, Any]) -> str:
    """`manifest` as a YAML document that begins by saying where it comes from."""
    return HEADER + dump(manifest, Dumper=_Readable, sort_keys=False, width=_WIDTH, allow_unicode=True)
