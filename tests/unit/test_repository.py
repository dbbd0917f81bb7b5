"""The house rules: facts about the tree that keep it readable, buildable and light."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from yaml import safe_load_all

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.job import FineTuneJob

ROOT = Path(__file__).parents[2]
SOURCE_TREES = ("crds", "operator", "trainer-image", "charts", "examples", "benchmarks", "requirements")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
API = ROOT / "crds" / "finetune_api"
HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate", "sklearn", "scipy", "numpy", "pyarrow", "pandas"}
# Joined at run time, so that this file does not hold what it looks for.
FORBIDDEN = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "proxy." + "golang.org",
    "registry." + "npmjs.org",
    "deb." + "debian.org",
    "static." + "crates.io",
    "maven" + ".org",
    "/" + "work/",
    "/" + "root/",
    "/" + "Users/",
]


def tracked_files() -> list[Path]:
    """Files that are in the repository or would be with `git add .`."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def sources() -> list[Path]:
    return [f for f in tracked_files() if f.suffix == ".py" and f.relative_to(ROOT).parts[0] in SOURCE_TREES]


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def imports(tree: ast.Module) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}


def make_targets() -> dict[str, str]:
    """Targets with their `##` texts."""
    return dict(re.findall(r"^([a-z][a-z0-9-]*):.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after `statement`."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def check_lock(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "requirements" / "check_lock.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_operator_is_the_standard_library_s() -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not Path(where.stdout.strip()).is_relative_to(ROOT / "operator")
    assert not list((ROOT / "operator").glob("*.py")), "a module directly in operator/ shadows the standard library's"


def test_files_and_functions_are_small(capsys: pytest.CaptureFixture[str]) -> None:
    file_lines = {path: path.read_text("utf-8").count("\n") for path in sources()}
    function_lines = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in file_lines
        for name, lines in functions(ast.parse(path.read_text("utf-8")))
    }
    with capsys.disabled():
        # Said in every run, so that growth is noticed before the limit is.
        print(f"\n{_sizes('file', file_lines)}; {_sizes('function', function_lines)}")  # noqa: T201 -- as said above
    assert {str(p.relative_to(ROOT)): n for p, n in file_lines.items() if n > MAX_FILE_LINES} == {}
    assert {name: n for name, n in function_lines.items() if n > MAX_FUNCTION_LINES} == {}


def _sizes(what: str, lines: Mapping[Any, int]) -> str:
    counts = list(lines.values())
    return f"{what} lines: median {median(counts):g}, p90 {quantiles(counts, n=10)[-1]:.0f}, longest {max(counts)}"


@pytest.mark.parametrize("text", FORBIDDEN)
def test_no_file_names_a_registry_or_a_place_on_one_machine(text: str) -> None:
    found = [str(path.relative_to(ROOT)) for path in tracked_files() if text.encode() in path.read_bytes()]
    assert found == []


def test_lock_is_in_step_with_the_projects() -> None:
    done = check_lock(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"jinja2>=3.1"', '"jinja2>=3.1", "requests"', "requests of finetune-trainer is not locked"),
        ('"jinja2>=3.1"', '"jinja2>=99"', "jinja2>=99 of finetune-trainer is locked at"),
        ('"jinja2>=3.1",', "", "jinja2 is locked for finetune-trainer, which no longer requires it"),
    ],
)
def test_a_lock_that_is_out_of_step_is_noticed(tmp_path: Path, old: str, new: str, told: str) -> None:
    projects = ("pyproject.toml", "crds/pyproject.toml", "trainer-image/pyproject.toml")
    for path in [*(ROOT / name for name in projects), *ROOT.glob("requirements/*.txt")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    project = tmp_path / "trainer-image" / "pyproject.toml"
    assert old in project.read_text()
    project.write_text(project.read_text().replace(old, new))
    done = check_lock(tmp_path)
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.parametrize("project", sorted(ROOT.glob("*/pyproject.toml")), ids=lambda path: path.parent.name)
def test_what_is_imported_is_required(project: Path) -> None:
    table = tomllib.loads(project.read_text("utf-8"))["project"]
    required = {canonicalize_name(Requirement(line).name) for line in [table["name"], *table["dependencies"]]}
    providers = packages_distributions()
    missing = {
        (package, str(path.relative_to(ROOT)))
        for path in sources()
        if path.is_relative_to(project.parent)
        for package in imports(ast.parse(path.read_text("utf-8"))) - set(sys.stdlib_module_names)
        if not required & set(map(canonicalize_name, providers.get(package, [package])))
    }
    assert missing == set()


def test_requirements_are_pinned_with_hashes_and_name_no_index() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for entry in re.sub(r"\\\n|^\s*#.*$", "", path.read_text(), flags=re.MULTILINE).splitlines():
            assert not entry.strip() or ("==" in entry and "--hash=sha256:" in entry), f"{path.name}: {entry}"


def test_make_targets_and_documents_agree() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (target, str(path.relative_to(ROOT)))
        for path in documents
        for target in re.findall(r"(?:`|^)make ([a-z][a-z0-9-]*)", path.read_text(), re.MULTILINE)
    }
    targets = make_targets()
    assert {(target, path) for target, path in named if target not in targets} == set(), "no such target"
    assert set(targets) - {target for target, _ in named} == set(), "targets that no document mentions"


def test_make_help_lists_every_target() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target, meaning in make_targets().items():
        assert re.search(rf"^  {target} +{re.escape(meaning)}$", text, re.MULTILINE), target


def test_links_in_documents_lead_somewhere() -> None:
    documents = [path for path in tracked_files() if path.suffix == ".md"]
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path in documents
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|href|srcset)=\"([^\"#]+)\"", path.read_text())
        for link in [next(filter(None, link))]
        if "://" not in link and not (path.parent / link).exists()
    ]
    assert broken == []


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*/*.md")]
    assert [page for page in sorted(pages) if f"({page})" not in index] == []


def example_jobs() -> list[Any]:
    """Each job of each example, with the file that it is in."""
    files = sorted((ROOT / "examples").rglob("*.yaml"))
    found = [(path, document) for path in files for document in safe_load_all(path.read_text())]
    return [pytest.param(*it, id=it[1]["metadata"]["name"]) for it in found if it[1].get("kind") == "FineTuneJob"]


@pytest.mark.parametrize(("path", "document"), example_jobs())
def test_examples_are_valid_jobs(path: Path, document: dict[str, Any]) -> None:
    job = FineTuneJob.model_validate(document)
    assert [*semantic_problems(job.spec), *unsupported(job.spec)] == []
    for source in job.spec.data.train:
        if source.uri.startswith("file://./"):
            assert (path.parent / source.uri.removeprefix("file://")).is_file()


@pytest.mark.parametrize(
    "statement",
    [
        "import finetune_trainer.cli",
        "import finetune_trainer.manifest",
        "import " + ", ".join(f"finetune_api.{path.stem}" for path in sorted(API.glob("[a-z]*.py"))),
        "import "
        + ", ".join(f"finetune_api.checks.{path.stem}" for path in sorted((API / "checks").glob("[a-z]*.py"))),
    ],
    ids=["finetune_trainer.cli", "finetune_trainer.manifest", "finetune_api", "finetune_api.checks"],
)
def test_light_paths_import_nothing_heavy(statement: str) -> None:
    assert imported_by(statement) & HEAVY == set()
