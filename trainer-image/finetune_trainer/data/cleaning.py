"""Text cleaning by `data.clean`: HTML, white space, case."""

import re
from html.parser import HTMLParser

from finetune_api.data import Clean

_SPACES = re.compile(r"\s+")
_HIDDEN = {"script", "style", "template", "noscript", "head"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer", "form",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p", "pre", "section",
    "table", "td", "th", "title", "tr", "ul",
}  # fmt: skip


def clean_text(text: str, clean: Clean) -> str:
    """Apply the steps of `clean` in their order: HTML, white space, case."""
    if clean.strip_html and ("<" in text or "&" in text):
        text = strip_html(text)
    if clean.collapse_whitespace is not False:
        text = _SPACES.sub(" ", text).strip()
    return text.lower() if clean.lowercase else text


def strip_html(text: str) -> str:
    """Remove tags, comments and invisible elements (script, style), decode entities.

    Tags that start a new line on a page leave a space, so that words don't run together. A `<` that opens no tag,
    as in `a < b`, stays.
    """
    parser = _Words()
    parser.feed(text)
    parser.close()
    return "".join(parser.words)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- the parser's signature
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS:
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag in _BLOCKS:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def keeping_white_space(clean: Clean) -> Clean:
    """The cleaning settings with white space preserved: line breaks and indentation are part of the text."""
    return clean.model_copy(update={"collapse_whitespace": bool(clean.collapse_whitespace)})
