"""Turns chat rows into a narrow table of features, so that a judge never sees any text.

One pass over the rows gives what stands in a row alone; a second over the narrow table
gives what shows only beside the others: duplicates, overlap between splits, balance.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from wherry.contracts import Row

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Gives the number of tokens of each text."""

Table = dict[str, list[Any]]
"""Column → one value a row; all columns are as long as each other."""

_BATCH: Final = 512
"""Rows whose texts go to the tokenizer together."""
_CONTROL: Final = frozenset(map(chr, {*range(32), 127} - {9, 10, 13})) | {"\ufffd"}
"""Control characters but tab and line ends, and the mark of a failed decoding."""


class Features(NamedTuple):
    """What one row shows by itself. Texts are present as 64-bit hashes alone."""

    split: str
    line: int
    """Counted from 1."""
    id: int | None
    """None if empty, as with every hash here."""
    prompt: int | None
    """Of all turns but the system's and the last: case, spacing and Unicode form do not count."""
    completion: int | None
    """Of the last turn, normalised alike."""
    group: int | None
    label: str | None
    roles: str
    """Such as ``system user assistant``."""
    prompt_characters: int
    completion_characters: int
    prompt_tokens: int
    """Of all turns but the last, without what the chat template adds."""
    completion_tokens: int
    tokens: int
    label_known: bool
    """The label is one of the train split's, or the data set has none."""
    label_answered: bool
    """The last turn is the label, or the row has none."""
    garbled: bool
    """A text holds control characters or the mark of a failed decoding."""


RELATIONS: Final = (
    "duplicate",
    "contradicted",
    "prompt_in_other_split",
    "group_in_other_split",
    "label_balance",
)
"""What a row shows beside the others; see `related`."""

COLUMNS: Final = (*Features._fields, *RELATIONS)
"""Every column that a suite may name."""


def features(
    split: str, rows: Iterable[Row], labels: Collection[str], count_tokens: CountTokens
) -> Iterator[Features]:
    """Gives each row's features, in order, without keeping the rows.

    Args:
        split: the rows' split.
        rows: any number; taken a batch at a time.
        labels: the data set's label set, or empty for free text.
        count_tokens: the base model's own tokenizer.
    """
    numbered = enumerate(rows, 1)
    while batch := list(islice(numbered, _BATCH)):
        prompts = count_tokens([_joined(row) for _, row in batch])
        completions = count_tokens([row.completion for _, row in batch])
        for (line, row), before, after in zip(batch, prompts, completions, strict=True):
            yield _one(split, line, row, labels, before, after)


def table(rows: Iterable[Features]) -> Table:
    """Gives the narrow table: the features as columns, and the relations between rows."""
    columns: Table = {name: [] for name in Features._fields}
    for row in rows:
        for name, value in zip(Features._fields, row, strict=True):
            columns[name].append(value)
    return {**columns, **related(columns)}


def related(columns: Table) -> Table:
    """Gives what rows show beside each other.

    Returns:
        duplicate: an earlier row of the split has the same prompt;
        contradicted: another row has the same prompt and a different completion;
        prompt_in_other_split, group_in_other_split: so has a row of another split;
        label_balance: the rows of this label in its split, over the mean of its labels.
    """
    splits, prompts = columns["split"], columns["prompt"]
    seen: set[tuple[str, int]] = set()
    in_splits, in_groups = _seen_with(prompts, splits), _seen_with(columns["group"], splits)
    answers = _seen_with(prompts, columns["completion"])
    balance = _balance(splits, columns["label"])
    return {
        "duplicate": [_again(seen, *pair) for pair in zip(splits, prompts, strict=True)],
        "contradicted": [len(answers.get(prompt, ())) > 1 for prompt in prompts],
        "prompt_in_other_split": [len(in_splits.get(prompt, ())) > 1 for prompt in prompts],
        "group_in_other_split": [len(in_groups.get(group, ())) > 1 for group in columns["group"]],
        "label_balance": [balance.get(pair) for pair in zip(splits, columns["label"], strict=True)],
    }


def normalised(text: str) -> str:
    """Gives a text without what is mere form: case, runs of spaces, Unicode variants."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _one(
    split: str, line: int, row: Row, labels: Collection[str], before: int, after: int
) -> Features:
    texts = [message.content for message in row.messages]
    turns = [message.content for message in row.prompt if message.role != "system"]
    return Features(
        split=split,
        line=line,
        id=_hash(row.id),
        prompt=_hash(normalised("\n".join(turns))),
        completion=_hash(normalised(row.completion)),
        group=_hash(row.group),
        label=row.label or None,
        roles=" ".join(message.role for message in row.messages),
        prompt_characters=sum(map(len, texts[:-1])),
        completion_characters=len(texts[-1]),
        prompt_tokens=before,
        completion_tokens=after,
        tokens=before + after,
        label_known=row.label in labels or not labels,
        label_answered=not row.label or row.completion.strip() == row.label,
        garbled=any(not _CONTROL.isdisjoint(text) for text in texts),
    )


def _joined(row: Row) -> str:
    return "\n".join(message.content for message in row.prompt)


def _hash(text: str) -> int | None:
    if not text.strip():
        return None
    raw = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big", signed=True)


def _seen_with(keys: Sequence[Any], values: Sequence[Any]) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = {}
    for key, value in zip(keys, values, strict=True):
        if key is not None:
            found.setdefault(key, set()).add(value)
    return found


def _again(seen: set[tuple[str, int]], split: str, prompt: int | None) -> bool:
    if prompt is None or (split, prompt) not in seen:
        if prompt is not None:
            seen.add((split, prompt))
        return False
    return True


def _balance(splits: Sequence[str], labels: Sequence[str | None]) -> dict[tuple[str, Any], float]:
    pairs = [(split, label) for split, label in zip(splits, labels, strict=True) if label]
    rows = Counter(split for split, _ in pairs)
    kinds = Counter(split for split, _ in set(pairs))
    return {
        (split, label): count * kinds[split] / rows[split]
        for (split, label), count in Counter(pairs).items()
    }
