"""Differences row by row: each metric's paired difference with its interval and its verdict."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wherry.contracts.paired import PairedTest, PairedTests
from wherry.page.plots.dots import MOST_ROWS, Dot, DotPlot, dot_plot
from wherry.page.scales import Scale, scale_of
from wherry.page.view import Badge, Signpost, State
from wherry.page.words import MISSING, metric, number, plural, points, quantity

_BRIEF: Final = {"accuracy": "Free answer", "label_accuracy": "Likeliest label"}
"""Names that would be cut off where they begin to differ."""
_STATES: Final[dict[str, State]] = {"better": "good", "worse": "bad", "undecided": "none"}


@dataclass(frozen=True)
class TestRow:
    """One paired test as a table row."""

    name: str
    n: str
    champion: str
    challenger: str
    difference: str
    interval: str
    p: str
    result: Badge


@dataclass(frozen=True)
class TestsSection:
    """What the template shows of the tests."""

    signpost: Signpost
    rows: tuple[TestRow, ...]
    plots: tuple[DotPlot, ...]
    """Of the shares: over all rows, then one for each metric that was tested by slice."""
    note: str


def tests_section(
    paired: PairedTests | None, title: str = "Differences", *, same_data: bool = True
) -> TestsSection:
    """Gives the section: every test over all rows, then every one of a slice.

    Args:
        paired: the tests, if there are any.
        title: of the section.
        same_data: whether the two were scored on the same rows, for saying why there are none.
    """
    tests = paired.tests if paired else ()
    ordered = sorted(tests, key=lambda test: bool(test.slice))
    return TestsSection(
        signpost=Signpost("tests", title, *verdict_of(paired)),
        rows=tuple(map(_row, ordered)),
        plots=tuple(_plots([test for test in ordered if not test.unit])),
        note=_note(paired, same_data),
    )


def verdict_of(paired: PairedTests | None) -> tuple[State, str]:
    """Sums the tests up in a state and a few words."""
    if paired is None or not paired.tests:
        return "warn", "not compared row by row"
    counts: Counter[str] = Counter(test.verdict for test in paired.tests)
    state: State = "bad" if counts["worse"] else "good" if counts["better"] else "none"
    words = ", ".join(f"{counts[word]} {word}" for word in _STATES)
    return state, words


def _note(paired: PairedTests | None, same_data: bool) -> str:
    if paired is None:
        return (
            "The two were scored on the same rows, but their answers were not kept."
            if same_data
            else "The two were scored on different rows, so no difference can be tested."
        )
    if not paired.tests:
        why = f": {paired.note}" if paired.note else ""
        return f"Nothing was tested row by row{why}."
    return (
        "Each row was asked of both. A verdict stands on the p-value after Holm's correction over "
        f"{plural(len(paired.tests), 'test')}, at 0.05; intervals are 95%, each by itself."
    )


def _row(test: PairedTest) -> TestRow:
    return TestRow(
        name=_name(test),
        n=number(test.n),
        champion=quantity(test.champion, test.unit),
        challenger=quantity(test.challenger, test.unit),
        difference=_difference(test.difference, test.unit),
        interval=_between(test),
        p=number(test.adjusted_p, 2),
        result=Badge(_STATES.get(test.verdict, "none"), test.verdict.capitalize()),
    )


def _name(test: PairedTest) -> str:
    return f"{metric(test.metric)}, {test.slice}" if test.slice else metric(test.metric)


def _difference(value: float | None, unit: str) -> str:
    if value is None:
        return MISSING
    return f"{number(value)} {unit}" if unit else points(value)


def _between(test: PairedTest) -> str:
    if test.low is None or test.high is None:
        return ""
    low, high = (_difference(end, test.unit) for end in (test.low, test.high))
    return f"{low} to {high}"


def _plots(tests: list[PairedTest]) -> Iterator[DotPlot]:
    drawn = [test for test in tests if test.difference is not None]
    ends = [end for test in drawn for end in (test.low, test.high, test.difference)]
    # One axis for all, so that they can be held against each other.
    scale = scale_of((end for end in ends if end is not None), include=(0.0,), count=2)
    whole = [(_brief(test.metric), test) for test in drawn if not test.slice]
    if whole:
        yield _plot("differences", "Challenger minus champion", whole, scale)
    for name in dict.fromkeys(test.metric for test in drawn if test.slice):
        parts = [test for test in drawn if test.metric == name and test.slice]
        most = {id(test) for test in sorted(parts, key=_movement)[-MOST_ROWS:]}
        rows = [(test.slice, test) for test in parts if id(test) in most]
        which = "" if len(rows) == len(parts) else f"; the {len(rows)} that moved most"
        title = f"{metric(name)}, by class or group{which}"
        yield _plot(f"differences-{name}", title, rows, scale)


def _movement(test: PairedTest) -> float:
    return abs(test.difference or 0.0)


def _brief(name: str) -> str:
    return _BRIEF.get(name) or metric(name)


def _plot(id: str, title: str, rows: list[tuple[str, PairedTest]], scale: Scale) -> DotPlot:
    return dot_plot(
        id,
        title,
        "Points, with 95% intervals; right of 0 the challenger has more.",
        [(label, [_dot(test)], _difference(test.difference, "")) for label, test in rows],
        scale=scale,
        steps=2,
        axis=lambda share: f"{100 * share:+.3g}".replace("-", "\N{MINUS SIGN}") if share else "0",
    )


def _dot(test: PairedTest) -> Dot:
    value = 0.0 if test.difference is None else test.difference
    tip = f"{_name(test)}: {_difference(value, '')} ({_between(test)})"
    return Dot("quantized", value, tip, test.low, test.high)
