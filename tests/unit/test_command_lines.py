"""Command lines that documentation, examples and messages give: parsed by the command line itself."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from finetune_trainer.cli.app import app
from finetune_trainer.cli.explain import explain_field
from finetune_trainer.cli.messages import predict_command_line
from finetune_trainer.cli.run_command import Wanted
from finetune_trainer.manifest import load_job

ROOT = Path(__file__).parents[2]
PROGRAM = "finetune-trainer"
COMMANDS: Any = typer.main.get_command(app)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
TEMPLATES = sorted((ROOT / "trainer-image/finetune_trainer/reporting/templates").glob("*.j2"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(rf"`({PROGRAM} [^`\n]+)`")
LINE = re.compile(rf"(?<![\w-]){PROGRAM} (?=[a-z]+ \S).*")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OF_KUBECTL = {"--from-file", "--from-literal"}


def given_lines() -> Iterator[tuple[str, str]]:
    """Each command line, with the file that gives it."""
    for page in PAGES:
        text = page.read_text()
        found = [line[0] for block in FENCE.findall(text) for line in LINE.finditer(block)]
        yield from ((str(page.relative_to(ROOT)), line) for line in (*found, *SPAN.findall(FENCE.sub("", text))))
    for file in (*TEMPLATES, *EXAMPLES):
        found = [line for line in LINE.findall(file.read_text()) if "{" not in line]
        yield from ((str(file.relative_to(ROOT)), line) for line in found)


def arguments_of(line: str) -> list[str]:
    """Arguments of the program in a line of a shell, up to a comment, a pipe or a redirection."""
    words = shlex.split(re.sub(r"<(\w+)>", r"\1", line), comments=True)
    words = words[words.index(PROGRAM) + 1 :]
    end = next((number for number, word in enumerate(words) if word[0] in "|;&>"), len(words))
    return words[:end]


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Command and parameters, as the program parses them; raises click's `UsageError`."""
    name, *rest = arguments
    with COMMANDS.commands[name].make_context(name, rest) as context:
        return name, dict(context.params)


LINES = sorted(set(given_lines()))


def test_lines_are_found() -> None:
    assert len(LINES) > 30
    assert {name.partition("/")[0] for name, _ in LINES} == {"README.md", "docs", "examples", "trainer-image"}


@pytest.mark.parametrize(("file", "line"), LINES)
def test_what_is_documented_is_a_command(file: str, line: str) -> None:
    arguments = arguments_of(line)
    if len(arguments) == 1:
        assert arguments[0] in COMMANDS.commands, file
        return
    command, given = parsed(arguments)
    if command == "explain":
        assert explain_field(given["field"])
    for override in given.get("overrides", ()):
        assert explain_field(override.partition("=")[0])
    job = ROOT / given.get("job", "")
    if "job" in given and given["job"].startswith("examples/"):
        settings = [override for override in given["overrides"] if "$" not in override]
        assert load_job(str(job), settings).job.spec.task


ODD = ["job.yaml", "my jobs/café 'x'.yaml", "a$b;c`d`.yaml", "-", "-dash.yaml", "--help", "ü%20.yaml"]


@pytest.mark.parametrize("file", ODD)
def test_what_resumes_a_run_is_the_same_command(file: str) -> None:
    wanted = Wanted(file, ["model.prefix=a 'b' \"c\"", "training.seed=-1"], "out put", resume_from="-runs/x")
    command, given = parsed(arguments_of(wanted.resume_command("20261121-101500-3f2a")))
    assert command == "run"
    place = f"./{file}" if file in ("-dash.yaml", "--help") else file
    assert (given["job"], given["overrides"]) == (place, wanted.overrides)
    assert (given["output"], given["resume"], given["resume_from"]) == ("out put", True, "-runs/x")
    assert given["uid"] == "20261121-101500-3f2a"


@pytest.mark.parametrize("place", ["/out/x", "/my out/ü 'x' $HOME", "s3://bucket/a b"])
@pytest.mark.parametrize("text", ["fine", "it's $5 `now`", 'a "b" \\ c!'])
def test_what_tries_a_model_is_a_command(place: str, text: str) -> None:
    line = predict_command_line(f"file://{place}" if place.startswith("/") else place, text)
    words = shlex.split(line)
    assert words[: words.index("|")] == ["echo", text]
    command, given = parsed(words[words.index(PROGRAM) + 1 :])
    assert (command, given["model"], given["rows"]) == ("predict", place, "-")


def test_options_in_messages_are_options() -> None:
    known = {name for command in COMMANDS.commands.values() for one in command.params for name in one.opts} | OF_KUBECTL
    sources = sorted((ROOT / "trainer-image/finetune_trainer").rglob("*.py"))
    named = {
        (option, str(path.relative_to(ROOT)))
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for option in OPTION.findall(node.value)
    }
    assert len(named) > 10
    assert {pair for pair in named if pair[0] not in {*known, "--help", "--version"}} == set()
