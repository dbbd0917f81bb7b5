"""Tag schemes: which are recognised, and that their entities are counted as an independent reader counts them."""

import random
from collections import Counter

import pytest

from finetune_api.data import Labels
from finetune_api.failures import LabelsUnsuitable
from finetune_trainer.data.label_cells import UnusableLabel
from finetune_trainer.data.tag_schemes import TagScheme, find_scheme
from finetune_trainer.data.tags import TagReader
from finetune_trainer.evaluation.spans import count_found

Entity = tuple[str, int, int]
"""Type, first word, and the word after the last."""
MARKERS = {  # of an entity of one word, and of the first, the inner and the last word of a longer one
    "BIO": ("B", "B", "I", "I"),
    "BIOES": ("S", "B", "I", "E"),
    "BILOU": ("U", "B", "I", "L"),
    "BMES": ("S", "B", "M", "E"),
    "BMEWO": ("W", "B", "M", "E"),
}
WRITTEN = {
    "B-PER": lambda marker, kind: f"{marker}-{kind}",
    "PER-B": lambda marker, kind: f"{kind}-{marker}",
    "B_PER": lambda marker, kind: f"{marker}_{kind}",
    "PER_B": lambda marker, kind: f"{kind}_{marker}",
    "b-PER": lambda marker, kind: f"{marker.lower()}-{kind}",
    "PER-b": lambda marker, kind: f"{kind}-{marker.lower()}",
    "B:PER": lambda marker, kind: f"{marker}:{kind}",
}


def drawn(seed: int, words: int = 14) -> list[list[Entity]]:
    """Entities of 40 sentences, none overlapping, some side by side."""
    dice, rows = random.Random(seed), []  # noqa: S311 -- entities, no secrets
    for _ in range(40):
        entities, at = list[Entity](), dice.randrange(3)
        while at < words:
            length = min(dice.choice([1, 1, 2, 3, 4]), words - at)
            entities.append((dice.choice(["PER", "LOC", "geo-org"]), at, at + length))
            at += length + dice.choice([0, 1, 2, 4])
        rows.append(entities)
    return rows


def as_tags(entities: list[Entity], scheme: str, written: str, words: int = 14) -> list[str]:
    single, first, inner, last = MARKERS[scheme]
    tags = ["o" if "b" in written else "O"] * words
    for kind, start, end in entities:
        inside = [inner] * (end - start - 2)
        for at, marker in enumerate([single] if end == start + 1 else [first, *inside, last], start):
            tags[at] = WRITTEN[written](marker, kind)
    return tags


def f1(expected: list[list[Entity]], predicted: list[list[Entity]]) -> float:
    """F1 from the entities themselves, without any tags."""
    right = sum(len(set(one) & set(other)) for one, other in zip(expected, predicted, strict=True))
    return 2 * right / (sum(map(len, expected)) + sum(map(len, predicted)))


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("scheme", MARKERS)
def test_entities_are_counted_whatever_the_scheme(scheme: str, written: str) -> None:
    expected = drawn(1)
    predicted = [one if at % 2 else other for at, (one, other) in enumerate(zip(expected, drawn(2), strict=True))]
    cells = [as_tags(row, scheme, written) for row in expected]
    reader = TagReader(Labels(), cells)
    pairs = [
        (reader.read(cell), reader.read(as_tags(row, scheme, written)))
        for cell, row in zip(cells, predicted, strict=True)
    ]
    found = count_found((tuple(one), tuple(other)) for one, other in pairs)  # type: ignore[arg-type]  # tags, never numbers
    assert 0.4 < f1(expected, predicted) < 0.9
    assert found.figure("f1") == pytest.approx(f1(expected, predicted))
    assert found.expected == Counter(kind for row in expected for kind, _, _ in row)
    assert reader.description.startswith(scheme)
    assert (f"{WRITTEN[written]('B', 'TYPE')} is read as B-TYPE" in reader.description) == (
        written != "B-PER" and scheme in ("BIO", "BIOES", "BILOU")
    )


def test_iob1() -> None:
    """`B-` stands only where two entities of one type meet."""
    tags = ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-PER"]
    reader = TagReader(Labels(), [tags] * 4)
    assert reader.description == "IOB1"
    assert reader.read(tags) == tuple(tags)
    one_off = ["I-PER", "I-PER", "I-PER", "O", "I-LOC", "I-PER"]
    found = count_found([(tags, one_off)])
    assert (found.expected.total(), found.predicted.total(), found.right.total()) == (4, 3, 2)
    assert TagReader(Labels(), [["B-PER", "I-PER", "O"]]).description == "BIO"


@pytest.mark.parametrize(
    ("tags", "canonical"),
    [
        ("B I O B", "B-entity I-entity O B-entity"),
        ("B M E S", "B-entity I-entity E-entity S-entity"),
        ("B-x I-x _ _ _", "B-x I-x O O O"),
        ("B-x I-x OTHER OTHER OTHER OTHER", "B-x I-x O O O O"),
        ("x-B x-I 0 0 0 0 0", "B-x I-x O O O O O"),
        ("B-a-I I-a-I O", "B-a-I I-a-I O"),
        ("b i o o o", "B-entity I-entity O O O"),
    ],
)
def test_other_ways_to_write_them(tags: str, canonical: str) -> None:
    reader = TagReader(Labels(), [tags.split()])
    assert reader.read(tags.split()) == tuple(canonical.split())


@pytest.mark.parametrize(
    "tags", ["NOUN VERB NOUN DET", "n v b m e n", "PER PER O LOC", "NN-TL NN VB-HL", "1-P 2-P O", "x-ray s-bahn O"]
)
def test_plain_tags_stay_as_they_are(tags: str) -> None:
    reader = TagReader(Labels(), [tags.split()])
    assert (reader.scheme, reader.read(tags.split())) == (None, tuple(tags.split()))
    assert reader.description == "plain, each word by itself"


def test_names_in_the_scheme_of_the_data() -> None:
    reader = TagReader(Labels(names=["O", "PER-B", "PER-I"]), [["O", "PER-B"], ["PER-I", "O"]])
    assert reader.space([("O", "B-PER")]).names == ("O", "B-PER", "I-PER")
    assert reader.read(["PER-B", "PER-I", "0"]) == ("B-PER", "I-PER", "O")
    with pytest.raises(UnusableLabel, match="did you mean 'PER-I'"):
        reader.read(["PER-X"])


def test_names_of_types_stand_for_all_their_tags() -> None:
    reader = TagReader(Labels(names=["PER", "LOC"]), [["B-PER", "I-PER", "O"], ["M-LOC", "E-LOC"]])
    assert reader.space([("O", "B-PER")]).names == ("O", "B-PER", "I-PER", "E-PER", "B-LOC", "I-LOC", "E-LOC")
    assert reader.read(["E-LOC", "O"]) == ("E-LOC", "O")


@pytest.mark.causes("LabelsUnsuitable")
@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("B-I I-I B-B I-B", "can be read as marker and type"),
        ("B-x I-x N N N N N", "if 'N' stands for words outside of entities, write O"),
    ],
)
def test_what_can_be_read_in_two_ways_is_asked(tags: str, words: str) -> None:
    with pytest.raises(LabelsUnsuitable, match=words):
        TagReader(Labels(), [tags.split()])


def test_a_tag_of_another_scheme_is_refused_in_the_words_of_this_one() -> None:
    reader = TagReader(Labels(), [["PER-B", "PER-I", "O"]] * 3)
    with pytest.raises(UnusableLabel, match="neither O nor a type with a suffix") as found:
        reader.read(["B-PER"])
    assert found.value.detail == "'B-PER'; write person-B, person-I"


def test_the_scheme_of_the_majority() -> None:
    assert find_scheme({"B-x": 5, "I-x": 4, "e-mail": 1, "O": 50}) == TagScheme(markers="BI")
