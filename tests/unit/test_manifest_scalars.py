"""Plain scalars mean what they mean to kubectl (sigs.k8s.io/yaml), not what PyYAML makes of them."""

import math

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from finetune_trainer.manifest.scalars import KubernetesDumper, KubernetesLoader, read_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 0.0002), ("1e3", 1000), ("2.5E+1", 25), (".5", 0.5), ("1.", 1), ("-0.5", -0.5), ("3.0", 3),
        ("1_000", 1000), ("010", 8), ("0o17", 15), ("-0x1F", -31), ("+0b101", 5), ("08", 8), ("0", 0),
        ("-0", 0), ("00", 0),
        ("yes", True), ("On", True), ("y", True), ("no", False), ("OFF", False), ("N", False), ("TRUE", True),
        ("", None), ("~", None), ("Null", None),
        ("tRue", "tRue"), ("nO", "nO"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("1e999", "1e999"),
        ("0x", "0x"), ("1e", "1e"), ("-", "-"), (".", "."), ("...", "..."), ("+", "+"), ("2e-4x", "2e-4x"),
        ("0b2", "0b2"), ("9" * 401, "9" * 401), ("\u0661", "\u0661"), ("1\u0662", "1\u0662"),
    ],
)  # fmt: skip
def test_read_plain(text: str, value: object) -> None:
    read = read_plain(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF"])
def test_infinities_are_numbers(text: str) -> None:
    read = read_plain(text)
    assert isinstance(read, float)
    assert math.isinf(read)


@example("\x85")
@example("a\u2028b")
@given(st.text())
def test_dumped_text_composes_as_text_again(text: str) -> None:
    dumped = yaml.dump([text], Dumper=KubernetesDumper, allow_unicode=True)
    loader = KubernetesLoader(dumped)
    node = loader.get_single_node()
    assert node is not None
    assert node.value[0].tag == "tag:yaml.org,2002:str"
    assert node.value[0].value == text


@given(st.text(alphabet="0123456789abcdefxXoO._+-eE", max_size=12))
def test_read_plain_takes_any_text(text: str) -> None:
    assert isinstance(read_plain(text), str | int | float | None)
