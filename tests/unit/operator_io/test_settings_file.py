"""The settings file: closed when it is checked, open to a newer chart when the operator starts."""

from pathlib import Path

import pytest

from finetune_operator.__main__ import main
from finetune_operator.settings import load_settings, unknown_settings

_NEWER = """\
trainer: {name: registry.example/trainer:1.0, mirror: registry.example/other}
profiles: {default: {limits: {cpu: "2"}, spreadOver: zone}}
leaderElection: true
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(_NEWER)
    return path


def test_a_check_refuses_what_it_does_not_know(newer: Path) -> None:
    with pytest.raises(SystemExit, match=r"profiles\.default\.spreadOver"):
        main(["--settings", str(newer), "--check"])


def test_an_older_image_starts_with_the_settings_of_a_newer_chart(newer: Path) -> None:
    settings = load_settings(newer, open_to_newer=True)
    assert settings.profiles["default"].limits == {"cpu": "2"}
    assert sorted(unknown_settings(newer)) == ["leaderElection", "profiles.default.spreadOver", "trainer.mirror"]


def test_a_wrong_value_stops_it_all_the_same(newer: Path) -> None:
    newer.write_text(_NEWER.replace('cpu: "2"', "cpu: [2]"))
    with pytest.raises(SystemExit, match=r"profiles\.default\.limits\.cpu"):
        load_settings(newer, open_to_newer=True)
