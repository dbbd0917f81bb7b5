"""Records the picture of the README: runs the quickstart and keeps what a terminal shows at the end.

python docs/record_terminal.py [--set PATH=VALUE ...]
"""

import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console

from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.cli.terminal_progress import TerminalObserver
from finetune_trainer.manifest import load_job

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "quickstart.svg"
WIDTH = 104


def main() -> None:
    """Run the job with its output in a folder that goes away, and write the picture."""
    silence_libraries()
    from finetune_trainer.run import run_job
    from finetune_trainer.storage import Site

    console = Console(record=True, force_terminal=True, force_interactive=False, width=WIDTH, file=StringIO())
    with tempfile.TemporaryDirectory() as folder:
        overrides = [argument for argument in sys.argv[1:] if argument != "--set"]
        loaded = load_job(
            ROOT / "examples" / "quickstart.yaml", [*overrides, f"spec.output.uri={Path(folder).as_uri()}"]
        )
        result = run_job(loaded.job, Site(loaded.base), "20261121-090000-4f1c", TerminalObserver(console))
    if result.failure is not None:
        raise result.failure
    picture = console.export_svg(title="make run", font_aspect_ratio=0.61)
    PICTURE.write_text(picture.replace(folder, "runs"), encoding="utf-8")


if __name__ == "__main__":
    main()
