"""Picture of the packages and their import layers, drawn from the import-linter contracts and the packages' docstrings.

`python docs/draw_architecture.py` writes `docs/images/architecture.svg`, or with `--check` fails if it is out of date.
`make lint` enforces the contracts, so the picture is always true.
"""

import ast
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
SOURCES = {"finetune_api": "crds", "finetune_trainer": "trainer-image", "finetune_operator": "operator"}

COLUMN, GAP, BOX, TEXT = 470, 24, 76, 13  # pixels: width of a package, between things, height of a box, between lines
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2933 } .title { font-size: 18px; font-weight: 700 }
.name { font: 600 13px ui-monospace, monospace } .note { fill: #52606d }
.parts { font: 11px ui-monospace, monospace; fill: #0b69a3 }
.box { fill: #f0f4f8; stroke: #bcccdc; rx: 6 } .page { fill: #ffffff }
""".strip()


@dataclass(frozen=True)
class Box:
    """A module or package of a layer."""

    name: str
    """Name below its root package."""
    purpose: str
    """First sentence of its docstring."""
    parts: tuple[str, ...]
    """Names of the packages in it."""


def source_of(module: str) -> Path:
    """Return the file or folder of a dotted module name."""
    path = ROOT / SOURCES[module.split(".", maxsplit=1)[0]] / Path(*module.split("."))
    return path if path.is_dir() else path.with_suffix(".py")


def first_sentence(path: Path) -> str:
    """Return the first sentence of the docstring of a module or package."""
    docstring = ast.get_docstring(ast.parse((path / "__init__.py" if path.is_dir() else path).read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split()).split(". ")[0].rstrip(".").replace("`", "")


def box_of(module: str) -> Box:
    """Return the box of a dotted module name."""
    path = source_of(module)
    parts = tuple(sorted(child.parent.name for child in path.glob("*/__init__.py"))) if path.is_dir() else ()
    return Box(module.split(".", 1)[1], first_sentence(path), parts)


def layers(contracts: list[dict[str, Any]], package: str) -> list[list[Box]]:
    """Return the layers of a package, top first, from its contract of type `layers`."""
    for contract in contracts:
        rows = contract.get("layers", [])
        if "containers" not in contract and rows and rows[0].startswith(f"{package}."):
            return [[box_of(name.strip(" ()")) for name in row.replace(":", "|").split("|")] for row in rows]
    raise SystemExit(f"pyproject.toml has no contract with the layers of {package}")


def draw_box(box: Box, x: int, y: int, width: int) -> list[str]:
    """Return the SVG elements of one box."""
    lines = [f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{BOX - 8}"/>']
    lines.append(f'<text class="name" x="{x + 8}" y="{y + 17}">{escape(box.name)}</text>')
    room = 3 if not box.parts else 2
    wrapped = textwrap.wrap(box.purpose, max(width // 7, 10), max_lines=room, placeholder=" …")
    for number, line in enumerate(wrapped):
        lines.append(f'<text class="note" x="{x + 8}" y="{y + 32 + number * TEXT}">{escape(line)}</text>')
    if box.parts:
        below = y + 32 + len(wrapped) * TEXT
        lines.append(f'<text class="parts" x="{x + 8}" y="{below}">{escape(" · ".join(box.parts))}</text>')
    return lines


def draw_package(package: str, rows: list[list[Box]], x: int) -> list[str]:
    """Return the SVG elements of one package: its layers from top to bottom."""
    lines = [f'<text class="title" x="{x}" y="{GAP + 10}">{package}</text>']
    purpose = textwrap.shorten(first_sentence(source_of(package)), COLUMN // 7, placeholder=" …")
    lines.append(f'<text class="note" x="{x}" y="{GAP + 30}">{escape(purpose)}</text>')
    for floor, row in enumerate(rows):
        width = (COLUMN - 8 * (len(row) - 1)) // len(row)
        for place, box in enumerate(row):
            lines += draw_box(box, x + place * (width + 8), GAP + 42 + floor * BOX, width)
    return lines


def draw() -> str:
    """Return the picture as SVG."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    packages = {package: layers(contracts, package) for package in SOURCES}
    width = GAP + len(packages) * (COLUMN + GAP)
    height = GAP * 2 + 50 + max(map(len, packages.values())) * BOX
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">']
    lines += [
        "<title>Packages and import layers: a module imports only from layers below it</title>",
        f"<style>{STYLE}</style>",
    ]
    lines.append(f'<rect class="page" width="{width}" height="{height}"/>')
    for column, (package, rows) in enumerate(packages.items()):
        lines += draw_package(package, rows, GAP + column * (COLUMN + GAP))
    note = "A module imports only from layers below it; operator and trainer import finetune_api, never each other."
    lines.append(f'<text class="note" x="{GAP}" y="{height - GAP // 2}">{note}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write the picture, or check that it is up to date."""
    picture = draw()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture)
    elif not PICTURE.exists() or PICTURE.read_text() != picture:
        raise SystemExit(f"{PICTURE.relative_to(ROOT)} is out of date: run `make docs`")


if __name__ == "__main__":
    main()
