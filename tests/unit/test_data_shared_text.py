"""Text that many rows share tells no two rows apart: preambles, system messages, templates, contexts, in any script."""

import json
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from finetune_api.data import Data
from finetune_api.failures import DataEmpty
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.common_text import SHARES, CommonText, Rests
from finetune_trainer.data.near_duplicates import NearDuplicates
from finetune_trainer.data.shingles import Ragged, plain
from finetune_trainer.data.text_similarity import Judge
from finetune_trainer.storage import Site

ENGLISH = (
    "You are the assistant of a travel agency. Answer briefly and politely, name prices in euros, and never promise a"
    " refund; where a question is about medicine or law, say that a person of that trade has to be asked instead. "
)
CHINESE = (
    "你是一家旅行社的助手。请用简短而礼貌的中文回答。价格以欧元表示。绝不承诺退款。"
    "涉及医学或法律的问题请建议对方咨询专业人士。不要编造事实。不知道的时候请直接说不知道。"
)
ARABIC = (
    "أنت مساعد في وكالة سفر. أجب بإيجاز وبأدب واذكر الأسعار باليورو ولا تعد أبدا"
    " باسترداد المال، وإذا كان السؤال عن الطب أو القانون فقل إن على السائل أن يسأل مختصا. "
)
THAI = "คุณเป็นผู้ช่วยของบริษัทท่องเที่ยวตอบสั้นๆและสุภาพบอกราคาเป็นยูโรและอย่าสัญญาว่าจะคืนเงินหากเป็นคำถามทางการแพทย์ให้แนะนำผู้เชี่ยวชาญ"
LETTERS = {
    ENGLISH: "abcdefghijklmnoprstuvwy",
    CHINESE: "春夏秋冬山水花鸟鱼虫桌椅书笔墨纸城市乡村道路桥梁天地人大小多少东西南北",
    ARABIC: "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    THAI: "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศสหอฮ",
}

PLACES = ("harbour", "harbours", "lighthouse", "market square", "railway bridge")
HOW = ("quiet", "quieter", "crowded", "closed to everyone")
TIMES = ("the early morning", "the early mornings", "winter", "a thunderstorm")


def drawn(seed: int) -> Random:
    return Random(seed)  # noqa: S311 -- nothing here is secret


def questions(count: int, letters: str = LETTERS[ENGLISH], seed: int = 0) -> list[str]:
    """Different short texts of made-up words."""
    rng = drawn(seed)
    return [" ".join("".join(rng.choices(letters, k=rng.randint(2, 7))) for _ in range(6)) for _ in range(count)]


def sizes(texts: list[str]) -> list[int]:
    return sorted(np.unique(NearDuplicates(texts).groups, return_counts=True)[1].tolist(), reverse=True)


@pytest.mark.parametrize("share", [1, 0.6, 0.15])
@pytest.mark.parametrize("preamble", LETTERS, ids=["English", "Chinese", "Arabic", "Thai"])
def test_a_preamble_makes_no_rows_alike(preamble: str, share: float) -> None:
    asked = questions(300, LETTERS[preamble])
    texts = [preamble * (number < 300 * share) + text for number, text in enumerate(asked)]
    assert sizes(texts) == [1] * 300


@pytest.mark.parametrize("preamble", LETTERS, ids=["English", "Chinese", "Arabic", "Thai"])
def test_edited_questions_are_found_behind_a_preamble_and_without_it(preamble: str) -> None:
    asked = questions(200, LETTERS[preamble])
    with_it = [preamble + text for text in asked]
    edited = [*asked[:20], *(preamble + text.upper() + " !" for text in asked[20:40])]
    groups = NearDuplicates([*with_it, *edited]).groups.tolist()
    assert groups == [*range(200), *range(40)]


@pytest.mark.parametrize("templates", [2, 3, 5, 8])
def test_templates_and_what_they_are_filled_with(templates: int) -> None:
    rng = drawn(1)
    forms = [" ".join(questions(12, seed=100 + number)) for number in range(templates)]
    texts = [f"{forms[number % templates]} order {rng.randrange(10**6)}. Regards, your shop" for number in range(400)]
    assert sizes(texts)[0] == 1


def test_the_same_word_in_unlike_templates_is_no_copy() -> None:
    words = questions(40)
    texts = [
        f"{form}: {word[:8]}" for word in words for form in ("say it in Spanish and nothing else", "count letters")
    ]
    assert sizes(texts)[0] == 1


def test_a_frequent_text_is_grouped_with_its_equals() -> None:
    asked = questions(50)
    texts = [*(ENGLISH + text for text in asked), *[ENGLISH] * 60]
    assert sizes(texts) == [60, *[1] * 50]


def test_copies_in_small_data_are_no_template() -> None:
    asked = questions(24)
    copies = [asked[0].replace(asked[0].split()[n], "other", 1) for n in (1, 2, 3)]
    found = NearDuplicates(
        [" ".join([asked[0], *asked[1:3]]), *(" ".join([c, *asked[1:3]]) for c in copies), *asked[4:]]
    )
    assert found.groups[:4].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("letters", "length"),
    [("ACGT", 600), ("ACGT", 3000), ("ACGT", 20000), ("01", 60), ("01", 900), ("ACDEFGHIKLMNPQRSTVWY", 800)],
)
def test_sequences_over_a_small_alphabet(letters: str, length: int) -> None:
    rng = drawn(2)
    texts = ["".join(rng.choices(letters, k=length)) for _ in range(60)]
    assert sizes(texts)[0] == 1
    if letters != "01":
        edited = texts[7][: length // 2] + letters[0] + texts[7][length // 2 + 1 :]
        assert NearDuplicates([*texts, edited]).groups[-1] == 7


def test_series_of_numbers_and_moves() -> None:
    rng = drawn(3)
    series = [" ".join(f"{rng.gauss(20, 3):.1f}" for _ in range(400)) for _ in range(60)]
    moves = [
        f"{piece}{file}{rank}" for piece in ("", "N", "B", "R", "Q") for file in "abcdefgh" for rank in range(1, 9)
    ]
    games = [" ".join(rng.choices(moves, k=80)) for _ in range(60)]
    assert sizes(series)[0] == sizes(games)[0] == 1


@pytest.mark.parametrize("signs", ["😀😂😍🥶😡👍🎉🔥🐱🚗🍕🌍", "+-*/%=<>!&|^~", "?!.,;:…¿¡-"])
def test_texts_of_signs_are_compared_by_what_they_hold(signs: str) -> None:
    rng = drawn(4)
    texts = list({"".join(rng.choices(signs, k=rng.randint(4, 9))) for _ in range(90)})
    assert sizes(texts)[0] <= 2
    assert NearDuplicates([*texts, f" {texts[5]} "]).groups[-1] == 5


def test_marks_are_part_of_the_letters() -> None:
    assert NearDuplicates(["की", "का", "e\u0301te\u0301", "\u00e9t\u00e9"]).groups.tolist() == [0, 1, 2, 2]


def test_neither_order_nor_copies_change_the_groups() -> None:
    texts = [ENGLISH + text for text in questions(150)]
    texts += [text.replace("a", "e") for text in texts[:50]] + texts[:10]
    order = np.random.default_rng(0).permutation(len(texts))
    first, second = NearDuplicates(texts).groups, NearDuplicates([texts[row] for row in order]).groups
    pairs = set(zip(first[order].tolist(), second.tolist(), strict=True))
    assert len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


def prepared(base: Path, rows: list[dict[str, Any]], task: Task, **spec: Any) -> Prepared:
    (base / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": [{"uri": "file://./rows.jsonl"}], **spec}
    return prepare(Data.model_validate(data), site=Site(base), task=task)


ASKED = questions(200)
CHATS = [
    {"messages": [
        {"role": "system", "content": f"{ENGLISH}{ASKED[n % 7]}"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": "Certainly."},
    ]}
    for n, text in enumerate(ASKED)
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        (Task.CAUSAL_LM, CHATS),
        (Task.CAUSAL_LM, [{"prompt": f"{ENGLISH}\n{text}", "completion": text[::-1]} for text in ASKED]),
        (Task.CAUSAL_LM, [{"text": f"{text}\n{ENGLISH}"} for text in ASKED]),
        (Task.PREFERENCE, [{"prompt": f"{ENGLISH}{text}", "chosen": "Yes.", "rejected": "No."} for text in ASKED]),
        (Task.SEQUENCE_CLASSIFICATION, [{"text": t + ENGLISH, "label": "ab"[n % 2]} for n, t in enumerate(ASKED)]),
        (Task.SEQ2SEQ, [{"input": f"{ENGLISH} {text}", "target": text} for text in ASKED]),
        (
            Task.TOKEN_CLASSIFICATION,
            [{"tokens": (ENGLISH + t).split(), "tags": ["O"] * (len(ENGLISH.split()) + 5) + ["B-X"]} for t in ASKED],
        ),
    ],
    ids=["chats", "prompts", "raw text", "preferences", "classes", "text to text", "tags"],
)
def test_every_task_splits_rows_with_a_preamble(tmp_path: Path, task: Task, rows: list[dict[str, Any]]) -> None:
    report = prepared(tmp_path, rows, task).report
    assert {name: part.rows for name, part in report.splits.items()} == {"train": 160, "validation": 20, "test": 20}
    assert report.near_duplicates == 0


def test_a_system_message_makes_no_leaks_and_hides_none(tmp_path: Path) -> None:
    held_out = [CHATS[3], *({"messages": [*CHATS[0]["messages"][:1], *c["messages"][1:]]} for c in CHATS[100:130])]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    report = prepared(tmp_path, CHATS[:100], Task.CAUSAL_LM, test=[{"uri": "file://./test.jsonl"}]).report
    assert (report.leaks, [held.line for held, _ in report.leak_examples]) == (1, [1])


def test_copies_that_cant_stay_together_are_split_with_a_warning(tmp_path: Path) -> None:
    text = " ".join(questions(3))
    rows = [{"text": f"{text} {n}", "label": "ab"[n % 2]} for n in range(7)]
    report = prepared(tmp_path, rows, Task.SEQUENCE_CLASSIFICATION).report
    assert {name: part.rows for name, part in report.splits.items()} == {"train": 5, "validation": 1, "test": 1}
    assert any("data.split.nearDuplicates: Ignore" in warning for warning in report.warnings)


def test_the_switch(tmp_path: Path) -> None:
    rows = [{"text": f"The very same long sentence, time and again{'!' * n}", "label": "ab"[n % 2]} for n in range(40)]
    with pytest.raises(DataEmpty) as caught:
        prepared(tmp_path, rows, Task.SEQUENCE_CLASSIFICATION)
    assert "spec.data.split.nearDuplicates: Ignore" in caught.value.problems[0].hint
    (tmp_path / "test.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [rows[3], {**rows[3], "text": "The"}])
    )
    spec = {"split": {"nearDuplicates": "Ignore"}, "test": [{"uri": "file://./test.jsonl"}]}
    report = prepared(tmp_path, rows, Task.SEQUENCE_CLASSIFICATION, **spec).report
    assert {name: part.rows for name, part in report.splits.items()} == {"train": 36, "validation": 4, "test": 2}
    assert (report.leaks, [held.line for held, _ in report.leak_examples]) == (1, [1])


class Counting(CommonText):
    """Common text that counts how often it is taken away."""

    asked = 0

    def rests(self, texts: Ragged, lowest: int = 0) -> Rests:
        type(self).asked += len(texts)
        return super().rests(texts, lowest)


def test_what_is_left_of_a_text_is_worked_out_once_not_once_a_pair() -> None:
    """Rows like each other but for a word are all compared: the work is one of texts, not of pairs."""
    texts = [f"The {place} was {how} in {time}" for place, how, time in product(PLACES, HOW, TIMES)]
    judge = Judge(texts, Counting([plain(texts)]))
    Counting.asked = 0
    pairs = list(combinations(range(len(texts)), 2))
    verdicts = [judge.alike(left, right) for left, right in pairs]
    assert Counting.asked <= (1 + len(SHARES)) * len(texts) < len(pairs) / 4
    fresh = [Judge(texts, CommonText([plain(texts)])).alike(right, left) for left, right in pairs[::40]]
    assert verdicts[::40] == fresh
    assert {True, False} == set(verdicts)
