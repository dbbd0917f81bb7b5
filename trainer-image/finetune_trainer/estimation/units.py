"""Bytes in binary units, as memory is sold."""


def binary(count: float) -> str:
    """Bytes as text: `812 KiB`, `14 MiB`, `9.4 GiB`."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if count >= 1 << power:
            return f"{count / (1 << power):.{1 if unit == 'GiB' else 0}f} {unit}"
    return f"{count / 1024:.0f} KiB"
