"""Names that become paths: whatever a file system takes is read and written in its own folder, and the rest is told."""

from pathlib import Path
from urllib.parse import quote

import pytest

from finetune_api.data import Data
from finetune_api.failures import DataNotFound, OutputNotWritable
from finetune_api.output import Output
from finetune_trainer.data import prepare
from finetune_trainer.data.reading.input_files import InputFile, read_input
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.storage import Site, open_folder
from finetune_trainer.storage.folder import safe_path

ROWS = "text,label\n" + "".join(f"text {n} of {n * n},{'ab'[n % 2]}\n" for n in range(20))
ODD = [
    "-dash",
    "--help",
    "~",
    "$HOME",
    "*",
    "?",
    "..x",
    "x..",
    "...",
    "CON",
    "nul.txt",
    "a\\b",
    "a:b",
    "a;b&c|d",
    "a'b\"c`d`",
    "a#b",
    "a?b=c",
    "100%",
    "a%20b",
    "%2e%2e",
    "%2F",
    "tab\tx",
    "line\nx",
    " space ",
    "\u00fc n\u00e9",
    "e\u0301",
    "\u202egnp",
    "\U0001f600",
    "\u65e5\u672c",
    "x" * 200,
]
LONG = ["x" * 256, "\u00fc" * 130, "/".join(["y" * 255] * 20)]


@pytest.mark.parametrize("name", ODD)
def test_data_is_read_under_any_name(name: str, tmp_path: Path) -> None:
    for folder, uri in (("rows", f"file://./rows/{quote(name)}.csv"), ("in/" + name, f"file://./in/{quote(name)}/")):
        if "/" in folder and name.startswith("."):
            continue  # hidden in a folder; named itself it is read
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{name}.csv").write_text(ROWS)
        report = prepare(Data.model_validate({"train": [{"uri": uri}]}), site=Site(tmp_path)).report
        assert (report.rows_read, report.files) == (20, [f"{folder}/{name}.csv"])


@pytest.mark.parametrize("name", ODD)
def test_results_lie_in_the_folder_that_is_named_and_their_addresses_lead_there(name: str, tmp_path: Path) -> None:
    output = OutputFolder(Output(uri=f"file://./out/{quote(name)}"), Site(tmp_path), "job", "uid")
    output.check_place()
    output.put("report/index.html", b"x")
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == tmp_path / "out" / name / "job" / "uid" / "report" / "index.html"
    assert output.uri("report/index.html") == written.as_uri()
    assert open_folder(output.uri(), Site(Path("/"))).get("report/index.html") == b"x"


def test_no_two_of_these_names_are_one_place(tmp_path: Path) -> None:
    for name in ODD:
        OutputFolder(Output(uri=f"file://./{quote(name)}"), Site(tmp_path), "job", "uid").put("name", name.encode())
    for name in ODD:
        folder = OutputFolder(Output(uri=f"file://./{quote(name)}"), Site(tmp_path), "job", "uid").folder
        assert folder.get("name") == name.encode()


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "", "a/..", "nul\0"])
def test_nothing_leaves_its_folder(path: str, tmp_path: Path) -> None:
    folder = open_folder("file://./out", Site(tmp_path))
    with pytest.raises(ValueError, match="not a path inside the folder"):
        safe_path(path)
    with pytest.raises(ValueError, match="not a path inside the folder"):
        folder.put(path, b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize("name", LONG)
def test_names_that_no_file_system_takes(name: str, tmp_path: Path) -> None:
    uri, site = f"file://./{name[:1000]}", Site(tmp_path)
    with pytest.raises(DataNotFound, match="does not exist"):
        prepare(Data.model_validate({"train": [{"uri": f"{uri}.csv"}]}), site=site)
    with pytest.raises(DataNotFound, match="does not exist"):
        list(read_input(InputFile(f"{uri}.csv"), site, "text"))
    if "/" not in name:
        with pytest.raises(OutputNotWritable):
            OutputFolder(Output(uri=uri), site, "job", "uid").put("a.txt", b"x")
