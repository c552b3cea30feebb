"""Divides rows into train, eval and test, each by its group alone."""

import hashlib
from collections.abc import Iterator

from wherry.contracts import Row
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.repeats import prompt_of
from wherry.ingest.clean.steps import Part
from wherry.ingest.settings import SplitBy


def divided(rows: list[Row], settings: SplitBy) -> Iterator[Part]:
    """Gives rows by split, in their order.

    A row's split follows from its group, or without one from its prompt as it was found: neither
    other rows nor the cleaning steps that are chosen can move it.
    """
    found: dict[SplitName, list[Row]] = {}
    for row in rows:
        found.setdefault(split_of(group_of(row), settings), []).append(row)
    yield from found.items()


def group_of(row: Row) -> str:
    """Gives what must not stand in two splits: the group, or without one the bare prompt."""
    # One export pads its columns, the next one does not.
    if group := row.group.strip():
        return f"group {group}"
    return f"prompt {prompt_of(row)}"


def split_of(group: str, settings: SplitBy) -> SplitName:
    """Gives a group's split: where its hash falls between the shares.

    Example::

        >>> split_of("group 17", SplitBy(eval=0.1, test=0.1))
        'train'
    """
    text = f"{settings.seed}\0{group}".encode("utf-8", "surrogatepass")
    raw = hashlib.blake2b(text, digest_size=8, person=b"wherry split").digest()
    place = int.from_bytes(raw, "big") / 2**64
    if place < settings.test:
        return "test"
    return "eval" if place < settings.test + settings.eval else "train"
