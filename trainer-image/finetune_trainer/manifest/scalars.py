"""Plain YAML scalars with the types that Kubernetes gives them.

kubectl and the API server read YAML with sigs.k8s.io/yaml (a fork of go-yaml v2), which is neither YAML 1.1 as PyYAML
reads it nor YAML 1.2: `2e-4` and `1e3` are numbers (PyYAML: text), `yes`, `no`, `on`, `off`, `y` and `n` are booleans,
`010` is 8, `1:30` and dates are text (PyYAML: 90 and a date).
"""

import math
import re

import yaml
from yaml.resolver import Resolver

Scalar = str | int | float | bool | None
TAG = "tag:yaml.org,2002:"

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 400
_BASES = {"x": 16, "b": 2, "o": 8}


def read_plain(text: str) -> Scalar:
    """Value of an unquoted scalar. Whole floats become integers, as on the way to JSON in Go."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    digits = text if text.startswith(".") else text.replace("_", "")
    if whole := _INTEGER.fullmatch(digits):
        return _integer(*whole.groups())
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if math.isinf(number):
            return text
        return int(number) if number.is_integer() else number
    return text


def _integer(sign: str, digits: str) -> int:
    base = 10
    if digits != "0" and digits.startswith("0"):
        base = _BASES.get(digits[1].lower(), 8)
        digits = digits[2:] if digits[1].isalpha() else digits[1:]
    return -int(digits, base) if sign == "-" else int(digits, base)


def tag_of(value: Scalar) -> str:
    """The YAML tag of a value, without its prefix."""
    names = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
    return names[type(value)]


def kubernetes_tag(text: str) -> str:
    """The full tag of an unquoted scalar; `<<` is the merge key."""
    return TAG + ("merge" if text == "<<" else tag_of(read_plain(text)))


class _KubernetesResolver(Resolver):
    """Resolver of plain scalars by the rules of Kubernetes; quoted scalars are text."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: bool | tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and implicit[0]:
            return kubernetes_tag(value or "")
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML has no types


class KubernetesLoader(_KubernetesResolver, yaml.SafeLoader):
    """YAML loader with this resolver."""


class KubernetesDumper(_KubernetesResolver, yaml.SafeDumper):
    """YAML dumper whose output `KubernetesLoader` reads back: quotes text that would resolve to another type."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- PyYAML's signature
        """Repeat equal parts instead of writing aliases."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape rare line breaks: single quotes would turn them into spaces."""
        style = '"' if any(letter in data for letter in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{TAG}str", data, style=style)


KubernetesDumper.add_representer(str, KubernetesDumper.represent_str)
