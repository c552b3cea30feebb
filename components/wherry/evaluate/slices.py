"""Which parts of the data a row is in, for scores of each part."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from wherry.contracts import Row

By = Literal["label", "group", "length"]


@dataclass(frozen=True)
class Slicing:
    """By what rows are told apart."""

    by: tuple[By, ...] = ("label",)
    edges: tuple[int, ...] = ()
    """Where one length ends and the next begins, in characters of the prompt; of plain text, which
    has none, in its own."""
    least: int = 1
    """Fewest rows of a group or a length that has scores of its own."""

    def of(self, row: Row) -> tuple[str, ...]:
        """Gives the row's group and length, as far as they are asked for.

        Example::

            Slicing(("length",), edges=(64, 256)).of(row)  # ("length=64-255",)
        """
        group = (f"group={row.group}",) if "group" in self.by and row.group else ()
        return group + ((self._length(row),) if "length" in self.by else ())

    def named(self, found: Sequence[tuple[str, ...]]) -> list[str]:
        """Gives the slices that have rows enough: the lengths from short to long, then groups."""
        counts: dict[str, int] = {}
        for names in found:
            for name in names:
                counts[name] = counts.get(name, 0) + 1
        kept = {name for name, rows in counts.items() if rows >= self.least}
        lengths = [name for name in self._lengths() if name in kept]
        return lengths + sorted(kept - set(lengths))

    def _lengths(self) -> list[str]:
        return [f"length={low}-{high - 1}" for low, high in pairwise((0, *self.edges))] + [
            f"length={(0, *self.edges)[-1]}+"
        ]

    def _length(self, row: Row) -> str:
        characters = sum(len(turn.content) for turn in row.prompt) or len(row.text)
        return self._lengths()[sum(edge <= characters for edge in self.edges)]
