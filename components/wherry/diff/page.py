"""Shows what changed between two versions of a data set on one self-contained HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final

from wherry.contracts.files import write_atomic
from wherry.diff.step import DataDiff, LengthShift, Quantiles, Share, ShareShift, SplitRows, Version
from wherry.page.plots.bars import BarPlot, Part, bar_plot
from wherry.page.plots.dots import Dot, DotPlot, dot_plot
from wherry.page.render import render
from wherry.page.scales import scale_of
from wherry.page.view import Badge, Fact, Key, Signpost
from wherry.page.words import MISSING, number, percent, plural, points, sentence, tick

_BEFORE: Final = "base"
_AFTER: Final = "quantized"
"""The pages' own shapes and colours for an old and a new thing."""
_FATES: Final = {"added": "good", "removed": "bad", "changed": "warn", "moved_in": "test"}
_MOST_SHARES: Final = 12
"""Values of a column that are drawn, those that moved most."""


@dataclass(frozen=True)
class DiffPage:
    """All that the template shows, in words and places; it decides nothing."""

    badge: Badge
    name: str
    sentence: str
    facts: tuple[Fact, ...]
    signposts: tuple[Signpost, ...]
    rows: tuple[SplitRows, ...]
    fates: BarPlot | None
    """How many rows of each split were added, removed and so on; None if none was."""
    keys: tuple[Key, ...]
    lengths: tuple[DotPlot, ...]
    shares: tuple[DotPlot, ...]
    before: tuple[Fact, ...]
    after: tuple[Fact, ...]


def write_page(found: DataDiff, path: Path) -> None:
    """Writes what changed as one HTML file that loads nothing and holds no text of a row.

    Args:
        found: what changed.
        path: where to write the page.

    Raises:
        ExtraMissingError: if Jinja2 is not installed.
    """
    page = render("wherry.diff", "page.html", page=compose(found))
    write_atomic(path, page.encode())


def compose(found: DataDiff) -> DiffPage:
    """Gives all that the page shows; see `write_page`."""
    return DiffPage(
        badge=Badge("good", "The same rows") if found.same else Badge("none", "The data changed"),
        name=found.after.source.path or found.after.source.uri or "Data",
        sentence=_sentence(found),
        facts=_facts(found),
        signposts=_signposts(found),
        rows=found.rows,
        fates=_fates(found.rows),
        keys=(Key(_BEFORE, "Before"), Key(_AFTER, "After")),
        lengths=tuple(_length_plots(found.lengths)),
        shares=tuple(_share_plot(f"share-{n}", one) for n, one in enumerate(found.shares)),
        before=_version(found.before),
        after=_version(found.after),
    )


def _sentence(found: DataDiff) -> str:
    if found.same:
        return "No row was added, removed, changed or moved to another split."
    told = [f"{_total(found.rows, fate):,} {_word(fate)}" for fate in _FATES]
    return f"{plural(found.before.rows, 'row')} before, {found.after.rows:,} after: " + (
        f"{', '.join(told)}."
    )


def _facts(found: DataDiff) -> tuple[Fact, ...]:
    return (
        Fact("Rows before", f"{found.before.rows:,}"),
        Fact("Rows after", f"{found.after.rows:,}"),
        *(Fact(sentence(_word(fate)), f"{_total(found.rows, fate):,}") for fate in _FATES),
    )


def _signposts(found: DataDiff) -> tuple[Signpost, ...]:
    rows = sum(_total(found.rows, fate) for fate in _FATES)
    return (
        Signpost("rows", "Rows", "none", f"{plural(rows, 'row')} touched"),
        Signpost("lengths", "Lengths", "none", _widest(found.lengths)),
        Signpost("shares", "Labels and languages", "none", _widest(found.shares)),
        Signpost("source", "Versions", "none", "pinned to content hashes"),
    )


def _widest(shifts: Sequence[LengthShift | ShareShift]) -> str:
    known = [shift.distance for shift in shifts if shift.distance is not None]
    return f"moved by {number(max(known), 2)} of 1 at most" if known else "nothing to compare"


def _total(rows: Sequence[SplitRows], fate: str) -> int:
    return sum(getattr(split, fate) for split in rows)


def _word(name: str) -> str:
    return name.replace("_", " ")


def _fates(rows: Sequence[SplitRows]) -> BarPlot | None:
    bars = [
        (f"{split.split}, {_word(fate)}", [Part(series, count, f"{count:,}")], f"{count:,}")
        for split in rows
        for fate, series in _FATES.items()
        if (count := getattr(split, fate))
    ]
    text = "Rows by split, and what became of them."
    return bar_plot("fates", "What became of rows", text, bars, axis=tick) if bars else None


def _length_plots(shifts: Sequence[LengthShift]) -> Iterator[DotPlot]:
    for feature, group in groupby(shifts, attrgetter("feature")):
        found = list(group)
        rows = [row for shift in found for row in _length_rows(shift)]
        if not rows:
            continue
        moved = [f"{shift.split} {number(shift.distance, 2)}" for shift in found]
        yield dot_plot(
            f"length-{feature}",
            f"Length of the {feature.removesuffix('_characters')}, in characters",
            f"The median, and from 5% to 95%. Distance (KS): {', '.join(moved)}.",
            rows,
            scale=scale_of(
                [dot.high or 0.0 for _, dots, _ in rows for dot in dots], include=(0.0,)
            ),
            axis=tick,
        )


def _length_rows(shift: LengthShift) -> Iterator[tuple[str, list[Dot], str]]:
    for series, word, lies in ((_BEFORE, "before", shift.before), (_AFTER, "after", shift.after)):
        if lies is not None:
            tip = f"{shift.split}, {word}: {_quantiles(lies)}"
            dot = Dot(series, lies.p50, tip, low=lies.p5, high=lies.p95)
            yield f"{shift.split}, {word}", [dot], f"{lies.p50:,}"


def _quantiles(found: Quantiles) -> str:
    return f"5% {found.p5:,}, median {found.p50:,}, 95% {found.p95:,}, most {found.most:,}"


def _share_plot(id: str, shift: ShareShift) -> DotPlot:
    shown = shift.shares[:_MOST_SHARES]
    more = len(shift.shares) - len(shown)
    told = f"Distance {number(shift.distance, 2)}" if shift.distance is not None else "New or gone"
    return dot_plot(
        id,
        f"{sentence(_word(shift.feature))}s in {shift.split}",
        f"{told}; {f'{more:,} more values moved less' if more else 'all values'}.",
        [_share_row(share) for share in shown],
        scale=scale_of([max(share.before, share.after) for share in shown], include=(0.0,)),
        axis=lambda share: f"{tick(round(100 * share, 6))}%",
    )


def _share_row(share: Share) -> tuple[str, list[Dot], str]:
    dots = [
        Dot(series, value, f"{share.name}, {word}: {percent(value)}")
        for series, word, value in (
            (_BEFORE, "before", share.before),
            (_AFTER, "after", share.after),
        )
    ]
    return share.name, dots, points(share.after - share.before)


def _version(version: Version) -> tuple[Fact, ...]:
    source = version.source
    return (
        Fact("Repository or bucket", source.uri or MISSING, wide=True),
        Fact("Path in it", source.path or MISSING),
        Fact("Commit", "" if source.revision else MISSING, digest=source.revision),
        Fact(
            "The source's own checksum", "" if source.checksum else MISSING, digest=source.checksum
        ),
        Fact("Digest of the data", "", digest=version.digest),
    )
