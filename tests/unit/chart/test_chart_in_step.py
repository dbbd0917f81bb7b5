"""What the chart takes from the code is what the code says; drift is noticed and mended."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = Path("charts/finetune-operator")
PAGE = Path("docs/reference/helm-values.md")
GENERATED = {
    PAGE: "Compute profiles",
    CHART / "dashboards/finetune.json": "Gradient norm",
    CHART / "files/finetunejobs.yaml": "shortNames",
    CHART / "values.schema.json": "Resource limits",
}
"""Generated files, each with words in them."""


def sync(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "charts" / "sync.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def objects(schema: Any, path: str = "") -> dict[str, dict[str, Any]]:
    """All parts of a schema that list properties, by their path."""
    if isinstance(schema, list):
        return {k: v for index, part in enumerate(schema) for k, v in objects(part, f"{path}[{index}]").items()}
    if not isinstance(schema, dict):
        return {}
    here = {path: schema} if schema.get("type") == "object" and "properties" in schema else {}
    return here | {k: v for key, part in schema.items() for k, v in objects(part, f"{path}/{key}").items()}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The chart and what it is made from, to change."""
    shutil.copytree(ROOT / "charts", tmp_path / "charts")
    for folder in ("crds", "docs/reference"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "crds" / "finetunejobs.yaml", tmp_path / "crds")
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    return tmp_path


def test_the_chart_is_in_step_with_the_code() -> None:
    done = sync(ROOT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_drift_is_noticed_and_mended(copy: Path, path: Path) -> None:
    right = (copy / path).read_text()
    assert GENERATED[path] in right
    (copy / path).write_text(right.replace(GENERATED[path], "something else"))
    done = sync(copy, "--check")
    assert done.returncode == 1
    assert f"{path} is out of step with the code; run `make chart`" in done.stderr
    assert sync(copy).returncode == 0
    assert (copy / path).read_text() == right


def test_a_changed_crd_is_noticed(copy: Path) -> None:
    with (copy / "crds" / "finetunejobs.yaml").open("a") as crd:
        crd.write("# more\n")
    assert "files/finetunejobs.yaml is out of step" in sync(copy, "--check").stderr


def test_every_value_is_known_to_the_schema_and_explained_on_the_page() -> None:
    schema = json.loads((ROOT / CHART / "values.schema.json").read_text())
    values = yaml.safe_load((ROOT / CHART / "values.yaml").read_text())
    page = (ROOT / PAGE).read_text()
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, value in values.items():
        assert f"| `{name}`" in page or all(f"| `{name}.{part}" in page for part in value), name


def test_no_object_of_the_schema_takes_unknown_fields() -> None:
    schema = json.loads((ROOT / CHART / "values.schema.json").read_text())
    assert [path for path, part in objects(schema).items() if part.get("additionalProperties") is not False] == []


def test_versions_are_those_of_the_projects() -> None:
    chart = yaml.safe_load((ROOT / CHART / "Chart.yaml").read_text())
    for project in ("operator", "trainer-image"):
        assert f'version = "{chart["appVersion"]}"' in (ROOT / project / "pyproject.toml").read_text()
