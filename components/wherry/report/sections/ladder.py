"""The quantization ladder: what each file type costs and what it loses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry.contracts.ladder import Ladder, Rung
from wherry.contracts.scores import Metric
from wherry.page.plots.scatter import Point, ScatterPlot, scatter_plot
from wherry.page.view import Badge, Signpost, State
from wherry.page.words import MISSING, metric, number, percent, size
from wherry.report.headline import Figure, figure


@dataclass(frozen=True)
class RungRow:
    """One file type as a table row."""

    name: str
    size: str
    agreement: str
    kl: str
    perplexity: str
    scores: tuple[Figure, ...]
    """Of the task, one a name of the section's `scores`."""
    speed: str
    memory: str
    result: Badge
    why: str


@dataclass(frozen=True)
class LadderSection:
    """What the template shows of the ladder."""

    signpost: Signpost
    scores: tuple[str, ...]
    """What the task's scores are called."""
    reference: RungRow
    """The unquantized model, which the others are held against."""
    rows: tuple[RungRow, ...]
    plots: tuple[ScatterPlot, ...]
    note: str


def ladder_section(ladder: Ladder) -> LadderSection:
    """Gives the section: quality against size, and against speed where it was measured."""
    passed = sum(rung.passed for rung in ladder.rungs)
    state: State = "good" if ladder.picked else "bad"
    picked = f"{ladder.picked} ships" if ladder.picked else "none ships"
    return LadderSection(
        signpost=Signpost(
            "ladder", "File types", state, f"{picked}; {passed} of {len(ladder.rungs)} hold"
        ),
        scores=tuple(map(metric, _scored(ladder))),
        reference=_reference(ladder),
        rows=tuple(_row(rung, ladder) for rung in ladder.rungs),
        plots=tuple(plot for plot in (_by_size(ladder), _by_speed(ladder)) if plot),
        note=(
            f"Against the {ladder.reference or 'unquantized file'} "
            f"({size(ladder.reference_size)}) over {number(ladder.positions)} contexts. "
            f"Asked for: {ladder.pick}."
        ),
    )


def _reference(ladder: Ladder) -> RungRow:
    return RungRow(
        name="Unquantized",
        size=size(ladder.reference_size),
        agreement=MISSING,
        kl=MISSING,
        perplexity=number(ladder.reference_perplexity),
        scores=_figures(ladder.reference_scores, _scored(ladder)),
        speed=MISSING,
        memory=MISSING,
        result=Badge("none", "Reference"),
        why="",
    )


def _scored(ladder: Ladder) -> list[str]:
    every = (*ladder.reference_scores, *(found for rung in ladder.rungs for found in rung.scores))
    return list(dict.fromkeys(found.name for found in every))


def _figures(scores: Sequence[Metric], names: Sequence[str]) -> tuple[Figure, ...]:
    found = {each.name: each for each in scores}
    return tuple(figure(found.get(name)) for name in names)


def _row(rung: Rung, ladder: Ladder) -> RungRow:
    return RungRow(
        name=rung.type,
        size=size(rung.size),
        agreement=percent(rung.next_token_agreement),
        kl=number(rung.kl, 2),
        perplexity=_change(rung.perplexity_change),
        scores=_figures(rung.scores, _scored(ladder)),
        speed=f"{number(rung.decode_speed)} tokens/s" if rung.decode_speed else MISSING,
        memory=size(rung.peak_memory),
        result=_badge(rung, ladder.picked),
        why="; ".join(rung.reasons),
    )


def _badge(rung: Rung, picked: str) -> Badge:
    if rung.type == picked:
        return Badge("good", "Ships")
    return Badge("none", "Holds") if rung.passed else Badge("bad", "Fails")


def _change(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:+.1f}%".replace("-", "\N{MINUS SIGN}")


def _by_size(ladder: Ladder) -> ScatterPlot | None:
    return _plot(
        "ladder-size", "Same next token against size", ladder, lambda rung: rung.size, size
    )


def _by_speed(ladder: Ladder) -> ScatterPlot | None:
    return _plot(
        "ladder-speed",
        "Same next token against speed, tokens/s",
        ladder,
        lambda rung: rung.decode_speed,
        number,
    )


def _plot(
    id: str,
    title: str,
    ladder: Ladder,
    cost: Callable[[Rung], float | None],
    words: Callable[[float], str],
) -> ScatterPlot | None:
    points = [
        Point(
            "quantized" if rung.type == ladder.picked else "tuned" if rung.passed else "base",
            rung.type,
            at,
            rung.next_token_agreement,
            f"{rung.type}: {words(at)}, {percent(rung.next_token_agreement)}",
        )
        for rung in ladder.rungs
        if (at := cost(rung)) is not None
    ]
    if len(points) < 2:
        return None
    names = ", ".join(point.tip for point in points)
    return scatter_plot(
        id, title, f"{names}.", points, x_axis=words, y_axis=lambda share: percent(share, 0)
    )
