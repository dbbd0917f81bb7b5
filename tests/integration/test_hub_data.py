import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # plain modules, which scripts use too

from hub_server import COMMIT, running

HUB = "hf://datasets/acme/"
HEADER = "text,label\n"
LINES = [f"Row {n} is about {'rain and clouds' if n % 2 else 'the sun'} {n * n},{n % 2}\n" for n in range(60)]
CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names: {'0': sunny, '1': rainy}
configs:
- config_name: default
  data_files:
  - {split: train, path: train.csv}
  - {split: dev, path: dev.csv}
---
"""
# The hub's client takes its address from the environment when it is imported, hence a process of its own.
PROGRAM = """
import json, sys
from pathlib import Path
from finetune_api.data import Data
from finetune_api.failures import JobFailure
from finetune_trainer.data import prepare
from finetune_trainer.data.reading.input_files import InputFile, read_input
from finetune_trainer.storage import Site
for line in sys.stdin:
    try:
        if "input" in json.loads(line):
            rows = read_input(InputFile(**json.loads(line)["input"]), Site(Path("/")), "text")
            print("RESULT" + json.dumps({"texts": [row.values["text"] for row in rows]}), flush=True)
            continue
        result = prepare(Data.model_validate(json.loads(line)), site=Site(Path("/")))
        found = {"rows": {name: len(rows) for name, rows in result.splits.items()}, "names": result.labels.names,
                 "files": result.report.files, "line": result.splits["train"].places[0].line,
                 "unread": [told for told in result.report.warnings if "is not read" in told]}
    except JobFailure as failure:
        found = {"code": failure.code, "where": failure.problems[0].where, "message": failure.problems[0].message}
    print("RESULT" + json.dumps(found), flush=True)
"""


class Hub:
    """A process that prepares one spec after the other against the server."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def prepare(self, **spec: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(spec) + "\n")
        self._process.stdin.flush()
        result = next(line for line in self._process.stdout if line.startswith("RESULT"))
        return dict(json.loads(result.removeprefix("RESULT")))

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    for name, files in {
        "weather": {"train.csv": HEADER + "".join(LINES), "dev.csv": HEADER + "".join(LINES[:4]), "README.md": CARD},
        "gated": {"GATED": "", "train.csv": HEADER},
        "private": {"FORBIDDEN": "", "train.csv": HEADER},
    }.items():
        (root / "acme" / name).mkdir(parents=True)
        for file, content in files.items():
            (root / "acme" / name / file).write_text(content)
    with running(root) as address:
        running_hub = Hub(
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address, "HF_HOME": str(tmp_path_factory.mktemp("cache"))}
        )
        yield running_hub
        running_hub.close()


def test_a_data_set_is_read_split_by_split_with_the_names_of_its_classes(hub: Hub) -> None:
    result = hub.prepare(train=[{"uri": f"{HUB}weather"}], validation=[{"uri": f"{HUB}weather"}])
    assert result["rows"] == {"train": 54, "validation": 4, "test": 6}
    assert result["names"] == ["rainy", "sunny"]
    assert result["files"] == ["acme/weather/train", "acme/weather/dev"]
    assert (result["line"], result["unread"]) == (1, [])


def test_a_split_that_no_source_reads_is_told(hub: Hub) -> None:
    (only,) = hub.prepare(train=[{"uri": f"{HUB}weather"}])["unread"]
    assert only.startswith("acme/weather/dev beside the training rows is not read")
    assert only.endswith(f"set data.validation: [{{uri: {HUB}weather}}].")


def test_a_single_file_is_read_as_any_other(hub: Hub) -> None:
    result = hub.prepare(train=[{"uri": f"{HUB}weather/train.csv", "revision": COMMIT}])
    assert result["rows"] == {"train": 48, "validation": 6, "test": 6}
    assert result["names"] == ["0", "1"]
    assert (result["files"], result["line"]) == ([f"{HUB}weather/train.csv"], 2)


def test_rows_to_predict_are_of_the_split_that_is_named(hub: Hub) -> None:
    of_dev = hub.prepare(input={"uri": f"{HUB}weather", "split": "dev", "revision": COMMIT})
    assert of_dev["texts"] == [line.partition(",")[0] for line in LINES[:4]]
    assert len(hub.prepare(input={"uri": f"{HUB}weather"})["texts"]) == len(LINES)
    for field, value in {"split": "holdout", "subset": "arctic", "revision": "v9"}.items():
        result = hub.prepare(input={"uri": f"{HUB}weather", field: value})
        assert (result["code"], result["where"]) == ("DataNotFound", f"--{field}")


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"uri": f"{HUB}nowhere"}, "uri"),
        ({"uri": f"{HUB}nowhere/rows.csv"}, "uri"),
        ({"uri": f"{HUB}weather/nowhere.csv"}, "uri"),
        ({"uri": f"{HUB}weather", "split": "holdout"}, "split"),
        ({"uri": f"{HUB}weather", "subset": "arctic"}, "subset"),
        ({"uri": f"{HUB}weather", "revision": "v9"}, "revision"),
    ],
)
def test_what_the_hub_does_not_have(hub: Hub, source: dict[str, str], field: str) -> None:
    result = hub.prepare(train=[source])
    assert (result["code"], result["where"]) == ("DataNotFound", f"spec.data.train[0].{field}")


def test_a_data_set_without_test_rows_names_the_splits_it_has(hub: Hub) -> None:
    result = hub.prepare(train=[{"uri": f"{HUB}weather"}], test=[{"uri": f"{HUB}weather"}])
    assert (result["code"], result["where"]) == ("DataNotFound", "spec.data.test[0].split")


@pytest.mark.causes("PermissionDenied")
@pytest.mark.parametrize("name", ["gated", "private", "gated/train.csv", "private/train.csv"])
def test_what_the_hub_does_not_give_to_everyone(hub: Hub, name: str) -> None:
    result = hub.prepare(train=[{"uri": f"{HUB}{name}"}])
    assert result["code"] == "PermissionDenied", result


@pytest.mark.causes("StorageUnavailable")
@pytest.mark.parametrize("name", ["weather", "weather/train.csv"])
def test_a_hub_that_cant_be_reached(tmp_path: Path, name: str) -> None:
    offline = Hub({"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    result = offline.prepare(train=[{"uri": f"{HUB}{name}"}])
    offline.close()
    assert result["code"] == "StorageUnavailable", result
