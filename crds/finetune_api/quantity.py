"""Kubernetes quantities: `500m`, `2`, `8Gi`."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|Ki|[MGTPE]i?|)")
_DECIMAL = {"m": Decimal("0.001"), "": Decimal(1), "k": Decimal(1000)} | {
    letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)
}
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}


def amount(quantity: str) -> Decimal:
    """The number of a Kubernetes quantity, for example 0.5 for `500m`.

    Raises `ValueError` for what is none.
    """
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity; write it like 500m, 2 or 8Gi")
    return Decimal(found[1]) * (_DECIMAL | _BINARY)[found[2]]


def _is_quantity(text: str) -> str:
    amount(text)
    return text


Quantity = Annotated[str, AfterValidator(_is_quantity)]
