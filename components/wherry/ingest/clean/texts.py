"""Changes the texts of rows: Unicode, control characters, personal data."""

import unicodedata
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec

from wherry.contracts import Cleaned, Row
from wherry.contracts.dataset import Message
from wherry.ingest.clean.settings import NormaliseUnicode, RedactPii
from wherry.ingest.clean.steps import Rows, Tally
from wherry.text.normal import strip_control
from wherry.text.patterns import PII, SECRETS, Pattern
from wherry.text.redact import redact_turns

Change = Callable[[list[list[str]]], list[list[str]]]
"""Gives texts as they should be, each in its place; those of one list follow each other."""


class Rewrite:
    """A step that rewrites every text of a row.

    Args:
        tally: counts what it does.
        change: what is done to texts.
        labels: whether the label is rewritten too, as the answer that it names.
    """

    def __init__(self, tally: Tally, change: Change, *, labels: bool) -> None:
        self._tally = tally
        self._change = change
        self._labels = labels

    def __call__(self, rows: Rows) -> Rows:
        """Gives all rows, rewritten."""
        for split, part in rows:
            after = rewritten(part, self._change, labels=self._labels)
            self._tally.rows += len(part)
            self._tally.changed += sum(a is not b for a, b in zip(part, after, strict=True))
            yield split, after

    def cleaned(self) -> Cleaned:
        """Says how many rows it changed."""
        return self._tally.cleaned()


def normalise_unicode(settings: NormaliseUnicode, name: str) -> Rewrite:
    """Makes the step that writes the same characters in the same way."""
    tally, form = Tally(name), settings.form

    def change(texts: list[str]) -> list[str]:
        after = [text if text.isascii() else unicodedata.normalize(form, text) for text in texts]
        tally.told[f"texts brought into {form}"] += differing(texts, after)
        return after

    return Rewrite(tally, _each(change), labels=True)


def strip_control_characters(name: str) -> Rewrite:
    """Makes the step that takes control characters out."""
    tally = Tally(name)

    def change(texts: list[str]) -> list[str]:
        after = [strip_control(text) for text in texts]
        tally.told["control characters"] += sum(map(len, texts)) - sum(map(len, after))
        return after

    return Rewrite(tally, _each(change), labels=True)


def redact_pii(settings: RedactPii, name: str) -> Rewrite:
    """Makes the step that replaces personal data by what it was."""
    tally, patterns = Tally(name), patterns_of(settings)

    def change(texts: list[list[str]]) -> list[list[str]]:
        after, found = redact_turns(texts, patterns)
        tally.told.update(found)
        return after

    return Rewrite(tally, change, labels=False)


def patterns_of(settings: RedactPii) -> list[Pattern]:
    """Gives the patterns that are asked for, the team's own first."""
    named = [pattern for pattern in (*SECRETS, *PII) if pattern.name in settings.patterns]
    return [*settings.extra, *named]


def differing(before: Sequence[str], after: Sequence[str]) -> int:
    """Counts the texts that are not what they were."""
    return sum(a != b for a, b in zip(before, after, strict=True))


def rewritten(rows: list[Row], change: Change, *, labels: bool) -> list[Row]:
    """Gives rows with their texts changed; those without a change are the very same."""
    texts = [_texts(row, labels=labels) for row in rows]
    flat = iter(change([part for own in texts for part in own]))
    after = [(next(flat), next(flat)) for _ in texts]
    return [
        row if new == old else _with(row, [text for part in new for text in part], labels=labels)
        for row, old, new in zip(rows, texts, after, strict=True)
    ]


def _each(change: Callable[[list[str]], Sequence[str]]) -> Change:
    """Makes a change of lists of texts from one of texts that know nothing of each other."""

    def changed(texts: list[list[str]]) -> list[list[str]]:
        flat = iter(change([text for own in texts for text in own]))
        return [list(islice(flat, len(own))) for own in texts]

    return changed


def _texts(row: Row, *, labels: bool) -> tuple[list[str], list[str]]:
    """Gives the system's turn, the team's own, apart from what was said."""
    own = [message.content for message in row.messages]
    first = int(row.messages[:1] != () and row.messages[0].role == "system")
    more = [row.text, row.rejected, *([row.label] if labels else [])]
    return own[:first], [*own[first:], *more]


def _with(row: Row, texts: list[str], *, labels: bool) -> Row:
    count = len(row.messages)
    turns = zip(row.messages, texts[:count], strict=True)
    messages = tuple(Message(before.role, content) for before, content in turns)
    text, rejected = texts[count : count + 2]
    label = texts[-1] if labels else row.label
    return msgspec.structs.replace(
        row, messages=messages, text=text, rejected=rejected, label=label
    )
