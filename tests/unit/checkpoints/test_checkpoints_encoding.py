from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from checkpoint_worlds import LINEAGE, same, snapshot
from safetensors import safe_open
from torch import Tensor

from finetune_api.checkpoint import CheckpointManifest
from finetune_trainer.checkpoints.encoding import bytes_needed, read_snapshot, write_snapshot
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.output.publish import list_files


def round_trip(state: Snapshot, folder: Path) -> Snapshot:
    folder.mkdir(exist_ok=True)
    write_snapshot(state, folder)
    manifest = CheckpointManifest(
        job="a",
        uid="b",
        attempt=1,
        step=state.step,
        epoch=state.epoch,
        created_at=datetime.now(UTC),
        files=list_files(folder),
        lineage=LINEAGE,
        metric=state.metric,
    )
    return read_snapshot(manifest, {entry.path: folder / entry.path for entry in manifest.files})


def test_a_state_survives(tmp_path: Path) -> None:
    assert same(round_trip(snapshot(3, 0.5), tmp_path / "a"), snapshot(3, 0.5))


TENSORS = {
    **{str(kind): torch.tensor([[1, 0], [1, 1]]).to(kind) for kind in (torch.float64, torch.float32, torch.float16)},
    **{str(kind): torch.tensor([0, 1, 1]).to(kind) for kind in (torch.int64, torch.int32, torch.uint8, torch.bool)},
    "bfloat16": torch.tensor([1.5, -3], dtype=torch.bfloat16),
    "scalar": torch.tensor(7.0),
    "empty": torch.empty(0, 4),
    "not numbers": torch.tensor([float("nan"), float("inf"), -0.0]),
    "transposed": torch.arange(6.0).reshape(2, 3).t(),
    "slice": torch.arange(10.0)[3:7],
    "strided": torch.arange(10.0)[::3],
    "expanded": torch.tensor([1.0]).expand(5),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_of_all_kinds_survive(tmp_path: Path, name: str) -> None:
    read = round_trip(Snapshot(1, 0, {"weights": {"x": TENSORS[name]}}, {}), tmp_path / "a").parts["weights"]["x"]
    assert (read.dtype, read.shape) == (TENSORS[name].dtype, TENSORS[name].shape)
    assert torch.equal(read.nan_to_num(9), TENSORS[name].nan_to_num(9))


def test_tensors_that_share_memory_survive(tmp_path: Path) -> None:
    tied = torch.arange(12.0).reshape(3, 4)
    weights: dict[str, Tensor] = {"embedding": tied, "head": tied, "part": tied[1:], "turned": tied.t()}
    read = round_trip(Snapshot(1, 0, {"weights": weights}, {}), tmp_path / "a").parts["weights"]
    assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())


def test_the_same_state_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_snapshot(snapshot(3), tmp_path / name)
    assert list_files(tmp_path / "a") == list_files(tmp_path / "b")


def test_any_reader_of_safetensors_can_read_it(tmp_path: Path) -> None:
    write_snapshot(snapshot(3), tmp_path)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert set(file.keys()) == {"layer.weight", "layer.bias"}
        assert torch.equal(file.get_tensor("layer.bias"), torch.full((4,), 3.0))


def test_the_room_asked_for_is_enough(tmp_path: Path) -> None:
    write_snapshot(snapshot(3, size=10_000), tmp_path)
    written = sum(entry.size for entry in list_files(tmp_path))
    assert written <= bytes_needed(snapshot(3, size=10_000)) <= written + (2 << 20)


@pytest.mark.parametrize("name", ["", "a/b", "../weights", "Weights", "state.json"])
def test_names_of_parts_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a part"):
        write_snapshot(Snapshot(1, 0, {name: {"x": torch.ones(1)}}, {}), tmp_path)


def test_what_is_no_json_is_refused_before_it_is_relied_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_snapshot(Snapshot(1, 0, {}, {"best": float("nan")}), tmp_path)
