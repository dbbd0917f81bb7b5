"""Small jobs of every task, whose rows have something for every setting to act on; manifests are plain data."""

import json
from pathlib import Path
from typing import Any

from finetune_api.tasks import Task

Json = dict[str, Any]
_STARTS = ("The", "Our", "Your", "This")
_THINGS = ("printer", "window", "dinner by the sea", "morning train", "new colleague", "invoice")
_ENDS = {"was a joy": "praise", "broke on the first day": "complaint"}
_LONG = "and so it is for all of us here, in the office and at home"


def rows() -> list[Json]:
    """Rows that serve every task: each role has a column of its own, and another one whose name ends in `_2`.

    One is given twice, one has markup and capitals, one lacks its inputs, and some are nearly the same as others.
    """
    made = [
        _row(number, f"{start} {thing} {verdict}", label)
        for number, (start, thing, (verdict, label)) in enumerate(
            (start, thing, end) for thing in _THINGS for start in _STARTS for end in _ENDS.items()
        )
    ]
    made[1] = _row(1, "<b>OUR</b>  printer &amp; window was a joy", "praise")
    alike = [f"{made[n]['text']} {_LONG}{end}" for n in range(2, 10) for end in ("", " indeed")]
    return [*made, made[0], *(_row(100 + n, text, "praise") for n, text in enumerate(alike))]


def _row(number: int, text: str, label: str) -> Json:
    words = text.split()
    chat = [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    plain = {
        "text": text, "label": label, "input": text, "target": f"{label} of {words[-1]}", "prompt": text,
        "completion": f"{label} {words[-1]}", "chosen": f"{label} indeed", "rejected": f"no {words[0]}",
        "tokens": words,
        "tags": ["B-THING" if word in ("printer", "window", "invoice") else "O" for word in words],
    }  # fmt: skip
    other = {
        f"{name}_2": [*value[1:], "end"] if isinstance(value, list) else f"{value} again"
        for name, value in plain.items()
    }
    other |= {
        "tags_2": ["O", *["B-THING"] * (len(words) - 1)],
        "label_2": "ABCD"[number % 4],
        "tokens_2": [*words[1:], "end"],
    }
    marks = {"is_short": number % 2, "is_long": 1 - number % 2, "more": f"more {number}", "who": f"user{number % 5}"}
    shapes = {"chat_2": chat, "system_2": f"Be brief {number}", "history_2": [["Who?", "Me."]], "level": number % 7,
              "tools_2": [{"type": "function", "function": {"name": f"look{number % 3}", "parameters": {}}}],
              }  # fmt: skip
    shapes |= {"marked": f"{text} </s> [SEP] <s> {number}", "marked_tokens": [*words, "[SEP]"]}
    shapes |= {"marked_tags": [*plain["tags"], "O"]}
    return plain | other | marks | shapes | {"score": f"{number},5", "many": "praise|other" if number % 2 else "praise"}


TASK_COLUMNS: dict[Task, tuple[str, ...]] = {
    Task.SEQUENCE_CLASSIFICATION: ("text", "label"),
    Task.TOKEN_CLASSIFICATION: ("tokens", "tags"),
    Task.SEQ2SEQ: ("input", "target"),
    Task.CAUSAL_LM: ("prompt", "completion"),
    Task.MASKED_LM: ("text",),
    Task.PREFERENCE: ("prompt", "chosen", "rejected"),
    Task.REWARD_MODEL: ("prompt", "chosen", "rejected"),
    Task.POLICY_OPTIMIZATION: ("prompt", "completion"),
}
"""Columns that the rows of a task are found by: those of other tasks would make other rows of them."""
INPUT = {Task.TOKEN_CLASSIFICATION: "tokens", Task.SEQ2SEQ: "input", Task.CAUSAL_LM: "prompt",
         Task.PREFERENCE: "prompt", Task.REWARD_MODEL: "prompt", Task.POLICY_OPTIMIZATION: "prompt"}  # fmt: skip


def write_rows(folder: Path, task: Task) -> None:
    """Write `rows.jsonl` and files that other settings are about, in the columns of the task."""
    everything = {name for columns in TASK_COLUMNS.values() for name in columns}
    left_out = everything - set(TASK_COLUMNS[task])
    own = [{name: value for name, value in row.items() if name not in left_out} for row in rows()]
    key = INPUT.get(task, "text")
    if task is Task.POLICY_OPTIMIZATION:
        own = [{**row, "completion": '"'} for row in own]  # a sign that the tiny model writes now and then
    bad = [{**own[0], key: [] if key == "tokens" else ""}]
    lines = "".join(json.dumps(row) + "\n" for row in [*own, *bad])
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    others = [_row(200 + n, f"My {row['text'].lower()} again", row["label"]) for n, row in enumerate(rows()[2:11])]
    more = [{name: value for name, value in row.items() if name in own[0]} for row in others]
    if task is Task.POLICY_OPTIMIZATION:
        more = [{**row, "completion": '"'} for row in more]
    (folder / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more), encoding="utf-8")
    (folder / "rows.txt").write_text(lines, encoding="utf-8")
    (folder / "asked.txt").write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    plain = [
        (str(row[key]).replace("&amp; ", "") if isinstance(row[key], str) else "", row.get("label_2", ""))
        for row in own
    ]
    text = "".join(f"{first} café;{second}|x\n" for first, second in plain)
    (folder / "rows.csv").write_bytes(("text;label\n" + text).encode("latin-1"))
    quoted = "".join(f'"{first}, well",{second}\n' for first, second in plain)
    (folder / "quoted.csv").write_text("text,label\n" + quoted, encoding="utf-8")


def base_job(task: Task, model: Path, folder: Path) -> Json:
    """The spec of a small job of the task; it looks for no near duplicates, which would take most of its time."""
    made: Json = {
        "task": task.value,
        "model": {"uri": model.as_uri()},
        "data": {"train": [{"uri": (folder / "rows.jsonl").as_uri()}], "maxLength": 32,
                 "split": {"validation": 0.2, "test": 0.2, "nearDuplicates": "Ignore"}},
        "method": {"type": "LoRA"},
        "training": {"batchSize": 4, "learningRate": 0.01, "epochs": 2, "precision": "FP32"},
        "evaluation": {},
        "output": {"uri": (folder / "out").as_uri()},
    }  # fmt: skip
    if task is Task.POLICY_OPTIMIZATION:
        made["training"]["policy"] = {"reward": {"type": "Contains"}, "numGenerations": 2, "maxNewTokens": 3}
    if task in (Task.SEQ2SEQ, Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION):
        made["evaluation"]["generation"] = {"maxNewTokens": 3}
    return made


def laid_over(base: Any, part: Any) -> Any:
    """`part` over `base`, mapping by mapping; what is null there is taken away."""
    if not (isinstance(base, dict) and isinstance(part, dict)):
        return part
    merged = {**base, **{name: laid_over(base.get(name), value) for name, value in part.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def manifest(spec: Json) -> Json:
    """The job around a spec."""
    return {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}, "spec": spec}
