import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import Clean
from finetune_trainer.data.cleaning import clean_text, strip_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<b>bold</b> and <i>italic", "bold and italic"),
        ("one<br/>two<br>three", "one two three"),
        ("<p>first</p><p>second</p>", "first second"),
        ("it&#39;s &quot;fine&quot; &amp; good&nbsp;&lt;3", 'it\'s "fine" & good <3'),
        ("before<script>var x = '<b>';</script>after", "beforeafter"),
        ("<style>p {color: red}</style>shown", "shown"),
        ("a < b and b > c", "a < b and b > c"),
        ("2 <3 & 4", "2 <3 & 4"),
        ("<!-- comment -->kept", "kept"),
        ('<a href="x>y">link</a>', "link"),
        ("<SCRIPT>gone</SCRIPT>kept", "kept"),
        ("in<span>sid</span>e", "inside"),
    ],
)
def test_html(html: str, text: str) -> None:
    assert clean_text(html, Clean(strip_html=True)) == text


def test_steps_are_off_unless_asked_for() -> None:
    raw = " A <b>B</b>\t\n C "
    assert clean_text(raw, Clean(collapse_whitespace=False)) == raw
    assert clean_text(raw, Clean()) == "A <b>B</b> C"
    assert clean_text(raw, Clean(strip_html=True, lowercase=True)) == "a b c"


@given(st.text())
def test_collapsing_twice_changes_nothing(text: str) -> None:
    once = clean_text(text, Clean())
    assert clean_text(once, Clean()) == once
    assert once == once.strip()


@given(st.text())
def test_any_text_can_be_stripped(text: str) -> None:
    assert isinstance(strip_html(text), str)


@given(st.text(st.characters(exclude_characters="<&\r")))
def test_text_without_markup_is_left_as_it_is(text: str) -> None:
    assert strip_html(text) == text
