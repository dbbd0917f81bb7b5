"""`python charts/sync.py [--check]`: write what the chart takes from the code, or tell where it is out of step.

That is the CRD, the part of `values.schema.json` that describes the operator's settings, the page of all values and the
dashboard.
"""

import sys
from argparse import ArgumentParser
from difflib import unified_diff
from pathlib import Path

from dashboard import dashboard
from values_page import values_page
from values_schema import values_schema

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "finetune-operator"
CRD = ROOT / "crds" / "finetunejobs.yaml"


def generated() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    schema = CHART / "values.schema.json"
    return {
        CHART / "dashboards" / "finetune.json": dashboard(),
        CHART / "files" / CRD.name: CRD.read_text("utf-8"),
        schema: values_schema(schema.read_text("utf-8")),
        ROOT / "docs" / "reference" / "helm-values.md": values_page((CHART / "values.yaml").read_text("utf-8")),
    }


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 1 where `--check` found a difference, else 0."""
    parser = ArgumentParser(prog="python charts/sync.py", description="Write what the chart takes from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; show the differences and exit with 1")
    check = parser.parse_args(arguments).check
    stale = {path: text for path, text in generated().items() if _there(path) != text}
    for path, text in stale.items():
        if check:
            sys.stdout.writelines(_difference(path, text))
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of step with the code; run `make chart`\n")
        else:
            path.write_text(text, "utf-8")
    return 1 if check and stale else 0


def _there(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _difference(path: Path, text: str) -> list[str]:
    lines = _there(path).splitlines(keepends=True), text.splitlines(keepends=True)
    return list(unified_diff(*lines, fromfile=str(path.relative_to(ROOT)), tofile="from the code"))


if __name__ == "__main__":
    sys.exit(main())
