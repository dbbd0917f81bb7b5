from collections.abc import Callable

import pytest

from finetune_trainer.evaluation.text_overlap import chr_f, exact_match, mean_of, rouge_1, rouge_l, token_f1
from finetune_trainer.evaluation.words import answer_words, words

PAIRS = [
    (
        "The Golden Palace is a coffee shop in the riverside area.",
        ["The Golden Palace is a cheap coffee shop in Riverside, near the river."],
    ),
    (
        "It costs more than £30 and it's not child-friendly!",
        ["A place that is not child friendly costs more than 30 pounds", "It costs over £30; not for children."],
    ),
    ("", ["Something was expected here"]),
    (
        "Located near Burger King, The Eagle has a rating of 5 out of 5",
        ["Located near Burger King, The Eagle has a rating of 5 out of 5"],
    ),
    ("a", ["an answer"]),
    ("the the the cat cat", ["the cat sat on the mat"]),
]
# By SQuAD's evaluation script, rouge-score 0.1.2 (no stemmer) and sacrebleu 2.6.0.
EXACT = [0, 0, 0, 1, 0, 0]
F1 = [0.7777777777777777, 0.5, 0, 1, 0, 0.3333333333333333]
ROUGE_1 = [0.8333333333333333, 0.6086956521739131, 0, 1, 0, 0.5454545454545454]
ROUGE_L = [0.75, 0.4444444444444444, 0, 1, 0, 0.3636363636363636]
CHR_F = [0.6845347563784269, 0.5281407073770763, 0, 1, 0.15151515151515152, 0.34062933963704967]
CHR_F_OF_ALL = 0.6190007358464921


@pytest.mark.parametrize(
    ("metric", "expected"), [(exact_match, EXACT), (token_f1, F1), (rouge_1, ROUGE_1), (rouge_l, ROUGE_L)]
)
def test_figures_are_those_of_the_reference_programs(metric: Callable[..., float], expected: list[float]) -> None:
    assert [metric(text, known) for text, known in PAIRS] == pytest.approx(expected)
    texts, references = zip(*PAIRS, strict=True)
    assert mean_of(metric, texts, references) == pytest.approx(sum(expected) / len(expected))


def test_chr_f_is_that_of_sacrebleu() -> None:
    assert [chr_f([text], [known]) for text, known in PAIRS] == pytest.approx(CHR_F)
    texts, references = zip(*PAIRS, strict=True)
    assert chr_f(texts, references) == pytest.approx(CHR_F_OF_ALL)
    assert chr_f(["计算复杂性理论是一个分支"], [["计算复杂性理论"]]) == pytest.approx(0.8071507689686022)
    assert chr_f(["¿Cuántos años tenía?"], [["Tenía quince años."]]) == pytest.approx(0.23773588187880793)


def test_scripts_without_spaces_count_by_character() -> None:
    assert words("计算理论 2024年") == ["计", "算", "理", "论", "2024", "年"]
    assert token_f1("计算复杂性理论", ["计算理论"]) == pytest.approx(2 * 4 / (7 + 4))
    assert rouge_l("黑豹队赢了", ["黑豹队输了"]) == pytest.approx(0.8)
    assert exact_match("计算复杂性理论。", ["计算复杂性理论"]) == 1


def test_letters_of_other_alphabets_are_words() -> None:
    assert words("Años después: ¡qué señal!") == ["años", "después", "qué", "señal"]
    assert words("Ёлка, 12 шт.") == ["ёлка", "12", "шт"]
    assert answer_words("¿Quién ganó?") == ["quién", "ganó"]
    assert exact_match("¡Los Broncos de Denver!", ["los broncos de denver"]) == 1


def test_punctuation_inside_a_word_joins_as_in_squad() -> None:
    assert answer_words("child-friendly, the U.S.") == ["childfriendly", "us"]
    assert words("child-friendly, the U.S.") == ["child", "friendly", "the", "u", "s"]


@pytest.mark.parametrize(
    ("one", "other"), [("3.5", "35"), ("1/2", "12"), ("-5", "5"), (".5", "5"), ("12:30", "1230"), ("3,5", "35")]
)
def test_punctuation_inside_a_number_is_a_part_of_it(one: str, other: str) -> None:
    assert exact_match(f"It is {one}.", [f"it is {other}"]) == 0
    assert exact_match(f"It is {one}.", [f"it is {one}"]) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$1,234,567.50", "1234567.50"),
        ("\u22125", "-5"),
        ("10\u201312", "10-12"),
        ("5%.", "5"),
        ("covid-19", "covid19"),
    ],
)
def test_numbers_that_are_written_in_two_ways_are_one(one: str, other: str) -> None:
    assert exact_match(one, [other]) == 1


@pytest.mark.parametrize(
    ("written", "expected", "likeness"),
    [
        ("Él nació en Málaga, ¿verdad?", "él nació en Málaga verdad", 1),
        ("C'est l'été à Paris !", "c'est l\u2019été à paris", 1),
        ("Это ёлка.", "это ёлка", 1),
        ("他出生在北京。", "他出生在北京", 1),
        ("Nació en Madrid", "nació en Málaga", 2 / 3),
        ("Il est né à Lyon", "il est né à Paris", 0.8),
        ("Он родился в Москве", "он родился в Киеве", 0.75),
        ("他出生在上海", "他出生在北京", 4 / 6),
    ],
)
def test_spanish_french_russian_and_chinese_answers(written: str, expected: str, likeness: float) -> None:
    assert token_f1(written, [expected]) == pytest.approx(likeness)
    assert rouge_l(written, [expected]) == pytest.approx(likeness)
    assert exact_match(written, [expected]) == float(likeness == 1)
    assert 0 < chr_f([written], [[expected]]) <= 1


def test_an_accent_of_its_own_is_the_same_letter() -> None:
    assert words("cafe\u0301") == words("caf\u00e9") == ["caf\u00e9"]
    assert exact_match("Cafe\u0301", ["caf\u00e9"]) == 1
