"""Rows that one of the two got right and the other wrong, side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wherry.page.view import Signpost, State
from wherry.page.words import clip, percent, plural
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
    sure: float
    """How sure the one that was wrong was of a wrong label, in [0, 1]."""

    @property
    def note(self) -> str:
        """That in words, if it is known."""
        return f"{percent(self.sure, 0)} sure of a wrong label" if self.sure else ""


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
        listed: rows shown of each kind, at most, the worst first: those of whose wrong answer
            the model was surest; then in the split's order.
    """
    broken = _worst_first(_pairs(versus, champion_right=True))
    mended = _worst_first(_pairs(versus, champion_right=False))
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
                id=row.id,
                question=clip(row.question, _COLUMNS),
                wanted=clip(row.wanted, _COLUMNS),
                champion=clip(one.answer, _COLUMNS),
                challenger=clip(two.answer, _COLUMNS),
                sure=(two if champion_right else one).sure,
            )


def _worst_first(pairs: Iterable[RowPair]) -> list[RowPair]:
    return sorted(pairs, key=lambda pair: -pair.sure)


def _both_wrong(versus: Versus) -> Iterator[Asked]:
    for row in versus.rows:
        one, two = versus.champion.said.get(row.id), versus.challenger.said.get(row.id)
        if one and two and not one.correct and not two.correct:
            yield row
