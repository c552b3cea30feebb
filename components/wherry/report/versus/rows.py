"""Rows that one of the two got right and the other wrong, side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

from wherry.page.view import Signpost, State
from wherry.page.words import clip, plural
from wherry.report.versus.evidence import Asked, Versus

_COLUMNS = 400
"""Of a question or an answer; the rest of a longer one is left out."""


@dataclass(frozen=True)
class RowPair:
    """One row with both answers."""

    id: str
    question: str
    wanted: str
    champion: str
    challenger: str


@dataclass(frozen=True)
class RowsSection:
    """What the template shows of single rows."""

    signpost: Signpost
    broken: tuple[RowPair, ...]
    """The champion had them right, the challenger has not."""
    mended: tuple[RowPair, ...]
    broken_count: int
    mended_count: int
    both_wrong: int


def rows_section(versus: Versus, listed: int) -> RowsSection:
    """Gives the section.

    Args:
        versus: the two.
        listed: rows shown of each kind, at most, in the split's order.
    """
    broken = list(_pairs(versus, champion_right=True))
    mended = list(_pairs(versus, champion_right=False))
    state: State = "none" if not versus.rows else "warn" if broken else "good"
    text = (
        f"{plural(len(broken), 'row')} lost, {len(mended)} won" if versus.rows else "no rows kept"
    )
    return RowsSection(
        signpost=Signpost("rows", "Row by row", state, text),
        broken=tuple(broken[:listed]),
        mended=tuple(mended[:listed]),
        broken_count=len(broken),
        mended_count=len(mended),
        both_wrong=sum(1 for _ in _both_wrong(versus)),
    )


def _pairs(versus: Versus, *, champion_right: bool) -> Iterator[RowPair]:
    for row in versus.rows:
        one, two = versus.champion.said.get(row.id), versus.challenger.said.get(row.id)
        if one and two and one.correct is champion_right and two.correct is not champion_right:
            yield RowPair(
                row.id,
                *(clip(text, _COLUMNS) for text in (row.question, row.wanted)),
                *(clip(said.answer, _COLUMNS) for said in (one, two)),
            )


def _both_wrong(versus: Versus) -> Iterator[Asked]:
    for row in versus.rows:
        one, two = versus.champion.said.get(row.id), versus.challenger.said.get(row.id)
        if one and two and not one.correct and not two.correct:
            yield row
