"""Messages that a chat template leaves out, moves or changes: told with file and line, in words and on the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_templates import CHATML
from transformers import PreTrainedTokenizerBase

from finetune_api.data_report import DataReport
from finetune_api.failures import TooManyBadRows
from finetune_trainer.data.chat import Chat, Turn
from finetune_trainer.data.tokenising.chat_rendering import ChatTemplate
from finetune_trainer.data.tokenising.chat_rewrites import rewrites

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
BEGIN = "{% for m in messages %}"
EACH = "{{ '<' + m.role + '>' + m.content + '\\n' }}"
WRITTEN = BEGIN + EACH + "{% endfor %}"
NO_SYSTEM = BEGIN + "{% if m.role != 'system' %}" + EACH + "{% endif %}{% endfor %}"
SYSTEM_LAST = (
    BEGIN
    + "{% if m.role != 'system' %}{{ '<' + m.role + '>' }}{% if loop.revindex == 2 and messages[0].role == 'system' %}"
    "{{ messages[0].content + '\\n\\n' }}{% endif %}{{ m.content + '\\n' }}{% endif %}{% endfor %}"
)
TITLED = BEGIN + "{{ '<' + m.role + '>' + (m.content | title) + '\\n' }}{% endfor %}"
TRIMMED = BEGIN + "{{ '<' + m.role + '> ' + (m.content | trim) + '\\n' }}{% endfor %}"
FIRST_LINE = BEGIN + "{{ '<' + m.role + '>' + m.content.split('\\n')[0] + '\\n' }}{% endfor %}"
NO_THOUGHTS = (
    BEGIN + "{% set text = m.content %}{% if m.role == 'assistant' and not loop.last and '</think>' in text %}"
    "{% set text = text.split('</think>')[-1] %}{% endif %}{{ '<' + m.role + '>' + text + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
NO_ANSWER = BEGIN + "{% if m.role != 'assistant' %}" + EACH + "{% endif %}{% endfor %}"
AS_JSON = BEGIN + "{{ '<' + m.role + '>' + (m.content | tojson) + '\\n' }}{% endfor %}"
ASKED = [("system", "Be brief"), ("user", "How are you?\nAnd now?"), ("assistant", "I am  fine ")]
LONGER = [("user", "One?"), ("assistant", "<think>hm</think>Two"), ("user", "Three?"), ("assistant", "Four")]


@pytest.mark.parametrize(
    ("template", "messages", "found"),
    [
        (WRITTEN, ASKED, []),
        (TRIMMED, ASKED, []),
        (AS_JSON, ASKED, []),
        (CHATML, ASKED, []),
        (NO_SYSTEM, ASKED, [(0, "leaves out")]),
        (SYSTEM_LAST, ASKED, []),
        (SYSTEM_LAST, [ASKED[0], *LONGER], [(0, "moves")]),
        (TITLED, ASKED, [(0, "changes"), (1, "changes"), (2, "changes")]),
        (FIRST_LINE, ASKED, [(1, "changes")]),
        (NO_THOUGHTS, LONGER, [(1, "changes")]),
        (NO_ANSWER, ASKED, [(2, "leaves out")]),
    ],
)
def test_what_becomes_of_each_message(
    template: str, messages: list[tuple[str, str]], found: list[tuple[int, str]], make_tokenizer: Callable[..., Any]
) -> None:
    chat = Chat.of(*messages)
    said = list(rewrites(chat, ChatTemplate(make_tokenizer("bpe", template)), to_be_answered=False))
    assert [(one.message, one.verb) for one in said] == found


def test_parts_of_a_message_are_looked_for_one_by_one(make_tokenizer: Callable[..., PreTrainedTokenizerBase]) -> None:
    parts = json.dumps({"content": ["one part", "another"]})
    chat = Chat((Turn("user", "one part\nanother", parts), Turn("assistant", "ok")))
    assert not list(rewrites(chat, ChatTemplate(make_tokenizer("bpe", CHATML)), to_be_answered=False))


def rows(*chats: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"messages": [{"role": role, "content": content} for role, content in chat]} for chat in chats]


def write(job: Callable[..., str], lines: Any, found: list[dict[str, Any]], template: str, **data: Any) -> Path:
    block = {
        "train": [{"uri": lines("c.jsonl", found)}],
        "chatTemplate": template,
        "split": {"validation": 0, "test": 0},
    }
    path = Path(job(model=STORIES.as_uri(), data={**block, **data}, method={"type": "LoRA"}, training={"maxSteps": 1}))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    return path


def test_the_rows_are_named_by_validate_and_on_the_page(job: Callable[..., str], cli: Any, lines: Any) -> None:
    chats = [[("user", f"Who are you, {n}?"), ("assistant", "Me.")] for n in range(6)]
    found = rows(*chats[:3], [("system", "Be nice"), *chats[3]], *chats[4:], [("system", "Be nasty"), *chats[0]])
    path = write(job, lines, [{**row, "note": "unused"} for row in found], NO_SYSTEM)
    report = DataReport.model_validate(json.loads(cli("validate", path, "--json").out)["data"])
    assert report.rewritten_rows == {"leaves out a system message": 2}
    assert [(one.place.line, one.what) for one in report.rewritten_row_examples] == [
        (4, "leaves out a system message"),
        (7, "leaves out a system message"),
    ]
    assert report.unused_columns == ["note"]
    assert "unused   columns: note" in cli("validate", path).out
    (warning,) = [one for one in report.warnings if "template" in one]
    assert warning.startswith("The chat template leaves out a system message of 2 rows (")
    assert "c.jsonl:4 first" in warning
    ended = cli("run", path, "--json")
    assert ended.code == 0, ended.err
    page = (ended.folder / "report/index.html").read_text()
    assert "Rows that the chat template rewrites" in page
    assert "leaves out a system message" in page
    assert "<code>note</code>" in page


def test_keys_that_the_template_does_not_write_are_on_the_page(job: Callable[..., str], cli: Any, lines: Any) -> None:
    found = rows(*[[("user", f"Who are you, {n}?"), ("assistant", "Me.")] for n in range(4)])
    found[2]["messages"][0]["name"] = "Ann"
    ended = cli("run", write(job, lines, found, WRITTEN), "--json")
    assert ended.code == 0, ended.err
    assert "<code>name</code> (1 row)" in (ended.folder / "report/index.html").read_text()


def test_an_answer_that_is_left_out_makes_a_bad_row(job: Callable[..., str], cli: Any, lines: Any) -> None:
    hides = BEGIN + "{% if 'secret' not in m.content %}" + EACH + "{% endif %}{% endfor %}"
    found = rows(*[[("user", f"Who are you, {n}?"), ("assistant", "secret" if n == 2 else "Me.")] for n in range(9)])
    failure = json.loads(cli("validate", write(job, lines, found, hides), "--json").out)["failure"]
    assert failure["code"] == TooManyBadRows.code
    assert any(
        one["where"].endswith("c.jsonl:3") and "never writes the answer" in one["message"]
        for one in failure["problems"]
    )


def test_a_template_that_rewrites_earlier_answers_names_a_row(job: Callable[..., str], cli: Any, lines: Any) -> None:
    """Answers have no fixed place in such rows; the first one is named, by `validate` and `run` alike."""
    plain = [[("user", f"Who are you, {n}?"), ("assistant", "Me.")] for n in range(4)]
    path = write(job, lines, rows(*plain, LONGER, *plain[:2]), NO_THOUGHTS)
    said = json.loads(cli("validate", path, "--json").out)["failure"]["problems"][0]
    assert said["where"].endswith("spec.data.chatTemplate")
    assert "c.jsonl:5: the chat template writes earlier messages in another way" in said["message"]
    assert cli("run", path, "--json").events[-1]["problems"][0] == said
    assert cli("validate", path, "--set", "training.lossOn=Completion").code == 0
