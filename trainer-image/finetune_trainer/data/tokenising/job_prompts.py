"""Prompt format of a job's rows, and rows that its chat template can't render."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from finetune_api.data_report import BadRow, DataReport, Place, RewrittenRow
from finetune_api.failures import DataEmpty, SpecInvalid
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_api.training import LossOn
from finetune_trainer.data.chat import ASSISTANT, Chat
from finetune_trainer.data.label_cells import Label, Passage
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.prepared import Examples, Prepared
from finetune_trainer.data.reading.rows import Bad, at
from finetune_trainer.data.rules import check_bad_rows
from finetune_trainer.data.splits import TRAIN, sources_path
from finetune_trainer.data.tokenising.chat_checks import check_chat
from finetune_trainer.data.tokenising.prompt_formats import TEMPLATE_FIELD, PromptFormat, prompt_format
from finetune_trainer.data.tokenising.special_tokens import encode
from finetune_trainer.data.tokenising.spelled_tokens import spelled_in_chats, spelled_pattern

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PAIRS = frozenset({Task.PREFERENCE, Task.REWARD_MODEL})
_PROMPTED = _PAIRS | {Task.CAUSAL_LM, Task.POLICY_OPTIMIZATION}
_EXAMPLES = 20
_NAMED = 4


def has_prompts(spec: Spec, report: DataReport) -> bool:
    """Whether the rows are prompts or chats, rather than raw text or rows of other tasks."""
    return spec.task in _PROMPTED and "text" not in report.columns


def form_of(spec: Spec, report: DataReport, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
    """The prompt format of the rows, where `has_prompts`. Raises as `prompt_format` does."""
    columns = report.columns
    return prompt_format(
        tokenizer,
        spec.data.prompt_template,
        is_chat="prompt" not in columns if spec.task in _PAIRS else "messages" in columns,
        every_answer=spec.task is Task.CAUSAL_LM and spec.training.loss_on in (None, LossOn.ASSISTANT),
        spelled_as_text=spec.data.split_special_tokens is not False,
    )


def check_chats(prepared: Prepared, spec: Spec, tokenizer: "PreTrainedTokenizerBase") -> Prepared:
    """The rows that the chat template can render; the others are invalid examples with file and line.

    The report says what it does not write of messages, and which special tokens the rows spell out, be they chats,
    prompts or texts. A template of
    `spec.data.chatTemplate` must be the tokenizer's already.

    Raises:
        TooManyBadRows: more rows than `spec.data.maxBadRowRatio` allows.
        DataEmpty: no row of a split is left.
        ModelUnsuitable, SpecInvalid: the model has no chat template, or it is no template at all.
    """
    if not has_prompts(spec, prepared.report):
        return _texts_checked(prepared, tokenizer, split=bool(spec.data.split_special_tokens))
    form = form_of(spec, prepared.report, tokenizer)
    found = _Found()
    kept = {name: _checked(rows, name, form, tokenizer, found) for name, rows in prepared.splits.items()}
    _check_share(prepared, found.bad, spec.data.max_bad_row_ratio)
    for name, rows in kept.items():
        if not len(rows) or (name == TRAIN and len(rows) == 1):
            message = f"the chat template writes {len(rows)} of {len(prepared.splits[name])} {name} rows"
            raise DataEmpty(message, where=sources_path(name), hint="correct the rows that are listed, or add others")
    return replace(prepared, splits=kept, report=_reported(prepared.report, kept, found, form))


@contextmanager
def naming_the_row(
    rows: Examples, spec: Spec, report: DataReport, tokenizer: "PreTrainedTokenizerBase"
) -> Iterator[None]:
    """Add file and line of the first of `rows` that causes it to a template failure inside the block."""
    try:
        yield
    except SpecInvalid as failure:
        if failure.problems[0].where != TEMPLATE_FIELD:
            raise
        form = form_of(spec, report, tokenizer)
        for row, chat in texts_of(rows):
            try:
                form.segments(chat)
            except SpecInvalid as own:
                problem = own.problems[0]
                message = f"{at(rows.places[row])}: {problem.message}"
                raise SpecInvalid(replace(problem, message=message)) from failure
        raise


@dataclass
class _Found:
    """Findings row by row."""

    bad: dict[str, list[Bad]] = field(default_factory=dict)
    """Rows that can't be written, by split."""
    unwritten: Counter[str] = field(default_factory=Counter)
    """Rows that have a key which changes nothing in the text, by key."""
    first: dict[str, str] = field(default_factory=dict)
    """`file:line` of the first row with such a key."""
    rewritten: dict[str, list[Place]] = field(default_factory=dict)
    """Rows of which a message is not written as it is, by what happens to it."""
    spelled: Counter[str] = field(default_factory=Counter)
    """How often special tokens are spelled."""
    spelling: list[str] = field(default_factory=list)
    """`file:line` of the rows that do."""


def texts_of(rows: Examples) -> Iterator[tuple[int, Chat]]:
    """Yield row number and chat for each text of a row: one, or one per answer of a pair."""
    for row, (chat, label) in enumerate(zip(rows.turns, rows.labels, strict=True)):
        if isinstance(label, Answers):
            yield from ((row, chat.then(turn)) for turn in label.turns)
        else:
            yield row, chat


def _checked(
    rows: Examples, split: str, form: PromptFormat, tokenizer: "PreTrainedTokenizerBase", found: _Found
) -> Examples:
    refused: dict[int, Bad] = {}
    unwritten: dict[int, set[str]] = {}
    rewritten: dict[int, set[str]] = {}
    texts = list(texts_of(rows))
    for row, chat in texts:
        if row in refused:
            continue
        checked = check_chat(chat, form)
        if checked.refusal is not None:
            refused[row] = Bad(rows.places[row], *checked.refusal)
        unwritten.setdefault(row, set()).update(checked.unwritten)
        rewritten.setdefault(row, set()).update(checked.rewritten)
    for row, keys in unwritten.items():
        for key in sorted(keys if row not in refused else ()):
            found.unwritten[key] += 1
            found.first.setdefault(key, at(rows.places[row]))
    for row, kinds in rewritten.items():
        for kind in sorted(kinds if row not in refused else ()):
            found.rewritten.setdefault(kind, []).append(rows.places[row])
    for number, tokens in spelled_in_chats([chat for _, chat in texts], form, tokenizer):
        found.spelled += tokens
        place = at(rows.places[texts[number][0]])
        found.spelling += [place] if place not in found.spelling[-1:] else []
    found.bad[split] = list(refused.values())
    left = rows.pick(row for row in range(len(rows)) if row not in refused)
    labels = zip(left.labels, left.turns, strict=True)
    return replace(left, labels=[_as_written(label, chat, form, tokenizer) for label, chat in labels])


def _as_written(label: Label, chat: Chat, form: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> Label:
    """The expected answer as the template renders it, stripped, where it is more than its content."""
    if isinstance(label, Answers) or not chat[-1].more or chat[-1].role != ASSISTANT or form.is_framed:
        return label
    ids = encode([form.segments(chat)[-1].text], tokenizer)[0]
    return Passage(str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip())


def _check_share(prepared: Prepared, bad: Mapping[str, Sequence[Bad]], allowed: float) -> None:
    """Raise `TooManyBadRows` for a split with too many invalid examples, earlier ones included."""
    for place, read in prepared.read.items():
        own = [name for name in bad if name == place or (place == TRAIN and name not in prepared.read)]
        refused = sorted((one for name in own for one in bad[name]), key=lambda one: (one.place.file, one.place.line))
        if refused:
            check_bad_rows(place, [*refused, *read.bad], read.rows, allowed)


def _reported(report: DataReport, kept: Mapping[str, Examples], found: _Found, form: PromptFormat) -> DataReport:
    bad = [one for part in found.bad.values() for one in part]
    kinds = Counter(one.kind for one in bad)
    examples = [*report.bad_row_examples, *(BadRow(place=one.place, reason=one.reason) for one in bad)]
    splits = {
        name: part.model_copy(update={"rows": len(kept[name])}) if name in kept else part
        for name, part in report.splits.items()
    }
    return report.model_copy(
        update={
            "bad_rows": report.bad_rows + len(bad),
            "bad_row_examples": examples[:_EXAMPLES],
            "bad_row_reasons": dict((Counter(report.bad_row_reasons) + kinds).most_common()),
            "splits": splits,
            "unused_keys": dict(found.unwritten.most_common()),
            "rewritten_rows": {kind: len(places) for kind, places in found.rewritten.items()},
            "rewritten_row_examples": _rewritten_examples(found),
            "warnings": [*report.warnings, *_warnings(bad, kinds, found, form)],
        }
    )


def _rewritten_examples(found: _Found) -> list[RewrittenRow]:
    examples = [RewrittenRow(place=place, what=kind) for kind, places in found.rewritten.items() for place in places]
    return examples[:_EXAMPLES]


def _warnings(bad: Sequence[Bad], kinds: Counter[str], found: _Found, form: PromptFormat) -> Iterator[str]:
    if bad:
        reasons = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common(_NAMED))
        yield f"{len(bad):,} row{'s were' if len(bad) > 1 else ' was'} left out, {at(bad[0].place)} first: {reasons}."
    for key, rows in found.unwritten.items():
        if key in _TELLING:
            many = f"{rows:,} row{'s' if rows > 1 else ''}"
            yield f"The chat template writes no {key} of {many} ({found.first[key]} first): the model never sees it."
    for kind, places in found.rewritten.items():
        many = f"{len(places):,} row{'s' if len(places) > 1 else ''}"
        yield f"The chat template {kind} of {many} ({at(places[0])} first): the model sees another text than the row's."
    how = "as text; where they are meant as tokens, set data.splitSpecialTokens: false"
    yield from _spelling(found, how if form.spelled_as_text else "as these tokens, as data.splitSpecialTokens says")


def _spelling(found: _Found, how: str) -> Iterator[str]:
    if found.spelling:
        which = ", ".join(token for token, _ in found.spelled.most_common(_NAMED))
        many = f"{len(found.spelling):,} row{'s spell' if len(found.spelling) > 1 else ' spells'}"
        yield f"{many} special tokens ({which}), {found.spelling[0]} first: they are encoded {how}."


def _texts(rows: Examples, row: int) -> list[str]:
    """The texts of a row that are tokenised: input, second text, words, target."""
    pair, label = rows.pairs[row : row + 1] if rows.pairs else [], rows.labels[row] if rows.labels else None
    target = [label] if isinstance(label, str) and not rows.space.names else []
    return [*((rows.words[row] if rows.words else ()) or [rows.texts[row]]), *pair, *target]


def _texts_checked(prepared: Prepared, tokenizer: "PreTrainedTokenizerBase", *, split: bool) -> Prepared:
    """Rows of texts or words, with a warning about special tokens that they spell."""
    found, pattern = _Found(), spelled_pattern(tokenizer)
    for rows in prepared.splits.values():
        for row in range(len(rows)):
            tokens = [token for text in _texts(rows, row) for token in pattern.findall(text)]
            found.spelled.update(tokens)
            found.spelling += [at(rows.places[row])] if tokens else []
    as_tokens = "as these tokens; where they are meant as text, set data.splitSpecialTokens: true"
    told = _spelling(found, "as text, as data.splitSpecialTokens says" if split else as_tokens)
    report = prepared.report.model_copy(update={"warnings": [*prepared.report.warnings, *told]})
    return replace(prepared, report=report)


_TELLING = frozenset({"content beside tool_calls", "reasoning_content", "reasoning", "thinking", "name", "documents"})
"""Keys that mean something to the model; others (ids, flags of an API) are listed in the report only."""
