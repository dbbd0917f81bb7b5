"""`python -m finetune_api.crd [--check]`: write `crds/finetunejobs.yaml`, or show its difference to the models."""

import sys
from argparse import ArgumentParser
from difflib import unified_diff
from pathlib import Path

from finetune_api.crd.definition import PLURAL, custom_resource_definition
from finetune_api.crd.manifest_text import manifest_text

PATH = Path(__file__).parents[2] / f"{PLURAL}.yaml"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 1 where `--check` found a difference, else 0."""
    parser = ArgumentParser(prog="python -m finetune_api.crd", description="Write the CRD from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing; show the difference and exit with 1")
    parser.add_argument("--path", type=Path, default=PATH, help="file to write or check (default: %(default)s)")
    options = parser.parse_args(arguments)
    text = manifest_text(custom_resource_definition())
    if not options.check:
        options.path.write_text(text, encoding="utf-8")
        return 0
    difference = _difference(options.path, text)
    sys.stdout.writelines(difference)
    if difference:
        sys.stderr.write(f"{options.path} is not what the models say; run `make crds`\n")
    return 1 if difference else 0


def _difference(path: Path, text: str) -> list[str]:
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = there.splitlines(keepends=True), text.splitlines(keepends=True)
    return list(unified_diff(*lines, fromfile=str(path), tofile="from the models"))


if __name__ == "__main__":
    sys.exit(main())
