"""Shows the verdict on a data set on one self-contained HTML page."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wherry.contracts.dataset import Dataset, Source
from wherry.contracts.files import write_atomic
from wherry.contracts.validation import Expectation, ValidationReport
from wherry.page.data.changes import Changes, changes_of
from wherry.page.data.checks import Checks, broken_plot, checks_of, reason_of
from wherry.page.data.cleaning import Step, steps_of
from wherry.page.data.faults import Cause, Faults, faults_of, set_aside_causes
from wherry.page.data.spread import Spread, spread_of
from wherry.page.plots.bars import BarPlot
from wherry.page.render import render
from wherry.page.view import SPLITS, Badge, Fact, Signpost, State
from wherry.page.words import MISSING, plural, sentence

_LISTED_ROWS: Final = 100
"""Rows that broke a check listed one by one; the rest are counted by reason alone."""


@dataclass(frozen=True)
class Verdict:
    """The head of the page."""

    badge: Badge
    name: str
    version: str
    sentence: str
    reasons: tuple[str, ...]
    """Each critical check that failed, with what was asked and what was found."""
    tally: tuple[tuple[State, int, str], ...]
    """How many checks ended how: state, count and word."""
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class DataPage:
    """All that the templates show, in words and places; they decide nothing."""

    verdict: Verdict
    signposts: tuple[Signpost, ...]
    checks: Checks
    broken: BarPlot | None
    spread: Spread
    faults: Faults
    set_aside: tuple[Cause, ...]
    cleaned: tuple[Step, ...]
    changes: Changes | None
    source: tuple[Fact, ...]


def write_page(
    report: ValidationReport, path: Path, dataset: Dataset | None = None, *, name: str = ""
) -> None:
    """Writes a report on data as one HTML file that loads nothing.

    Args:
        report: the verdict.
        path: where to write the page.
        dataset: the data set it speaks of, for its licence, splits and cleaning.
        name: what to call the data where neither names a source, such as a file's name.

    Raises:
        ExtraMissingError: if Jinja2 is not installed.
    """
    page = render("wherry.validate", "page.html", page=compose(report, dataset, name=name))
    write_atomic(path, page.encode())


def compose(
    report: ValidationReport, dataset: Dataset | None = None, *, name: str = ""
) -> DataPage:
    """Gives all that the page shows of a report; see `write_page`."""
    labels = dataset.labels if dataset else ()
    return DataPage(
        verdict=_verdict(report, dataset, name),
        signposts=_signposts(report),
        checks=checks_of(report.expectations),
        broken=broken_plot(report.expectations),
        spread=spread_of(report.columns, labels, report.expectations),
        faults=faults_of(report.quarantined, _LISTED_ROWS),
        set_aside=set_aside_causes(report.set_aside),
        cleaned=steps_of(dataset.cleaned) if dataset else (),
        changes=changes_of(report.since) if report.since else None,
        source=_source(report, dataset),
    )


def _verdict(report: ValidationReport, dataset: Dataset | None, name: str) -> Verdict:
    source = _source_of(report, dataset)
    return Verdict(
        badge=_badge(report),
        name=name or (source.path or source.uri if source else "") or "Data",
        version=source.revision[:12] if source else "",
        sentence=_sentence(report),
        reasons=tuple(map(reason_of, report.failures)),
        tally=_tally(report.expectations),
        facts=_facts(report, dataset),
    )


def _badge(report: ValidationReport) -> Badge:
    if not report.expectations:
        return Badge("bad", "Nothing was checked")
    if not report.passed:
        return Badge("bad", "The data is not fit")
    warned = [each for each in report.expectations if not each.passed]
    if warned:
        return Badge("warn", "The data is fit, with warnings")
    return Badge("good", "The data is fit")


def _sentence(report: ValidationReport) -> str:
    ended = Counter("held" if each.passed else each.severity for each in report.expectations)
    total = plural(len(report.expectations), "check")
    told = [f"{plural(report.rows, 'row')}; {ended['held']} of {total} hold"]
    told += [f"{ended['critical']} critical failed"] if ended["critical"] else []
    told += [f"{plural(ended['warning'], 'warning')}"] if ended["warning"] else []
    return "; ".join(told) + "."


def _tally(expectations: tuple[Expectation, ...]) -> tuple[tuple[State, int, str], ...]:
    ended = Counter("passed" if each.passed else each.severity for each in expectations)
    words: tuple[tuple[State, str, str], ...] = (
        ("good", "passed", "passed"),
        ("none", "info", "noted"),
        ("warn", "warning", "warned"),
        ("bad", "critical", "failed"),
    )
    return tuple((state, ended[key], word) for state, key, word in words if ended[key])


def _facts(report: ValidationReport, dataset: Dataset | None) -> tuple[Fact, ...]:
    rows = _rows_by_split(report, dataset)
    aside = sum(each.rows for each in report.set_aside)
    return (
        Fact("Rows", f"{report.rows:,}"),
        *(Fact(f"{sentence(name)} rows", f"{count:,}") for name, count in rows.items()),
        Fact("Rows that could not be read", f"{aside:,}" if aside else "none"),
        Fact("Checked by suite", "", digest=report.suite_digest),
    )


def _rows_by_split(report: ValidationReport, dataset: Dataset | None) -> dict[str, int]:
    if dataset:
        return {split.name: split.rows for split in dataset.splits}
    found: dict[str, int] = {}
    for column in report.columns:
        found[column.split] = max(found.get(column.split, 0), sum(column.counts))
    ordered = [name for name in SPLITS if name in found] + sorted(found.keys() - set(SPLITS))
    return {name: found[name] for name in ordered} if len(found) > 1 else {}


def _signposts(report: ValidationReport) -> tuple[Signpost, ...]:
    total = len(report.expectations)
    failed = total - sum(each.passed for each in report.expectations)
    state: State = "bad" if report.failures or not total else "warn" if failed else "good"
    aside = sum(each.rows for each in report.set_aside)
    broken = len(report.quarantined)
    posts = [
        Signpost("checks", "Checks", state, f"{total - failed} of {total} hold"),
        Signpost("spread", "Distributions", "none", _features(report)),
        Signpost("rows", "Rows", "warn" if aside or broken else "good", _rows(broken, aside)),
    ]
    if report.since:
        count = len(report.since.changes)
        text = plural(count, "change") if count else "nothing changed"
        posts.append(Signpost("changes", "Since the last version", "none", text))
    return (*posts, Signpost("source", "Source", "none", _origin(report)))


def _features(report: ValidationReport) -> str:
    names = dict.fromkeys(column.name.replace("_", " ") for column in report.columns)
    return ", ".join(names) or "none"


def _rows(broken: int, aside: int) -> str:
    parts = [f"{broken:,} listed"] if broken else []
    parts += [f"{aside:,} not read"] if aside else []
    return ", ".join(parts) or "none broke a check"


def _origin(report: ValidationReport) -> str:
    return "pinned to a content hash" if report.source and report.source.checksum else "by digest"


def _source(report: ValidationReport, dataset: Dataset | None) -> tuple[Fact, ...]:
    source = _source_of(report, dataset)
    known = source or Source(uri="", revision="", path="", checksum="")
    return (
        Fact("Repository or bucket", known.uri or MISSING, wide=True),
        Fact("Path in it", known.path or MISSING),
        Fact("Commit", "" if known.revision else MISSING, digest=known.revision),
        Fact("The source's own checksum", "" if known.checksum else MISSING, digest=known.checksum),
        Fact("Digest of the data", "", digest=report.dataset_digest),
        Fact("Licence", (dataset.licence if dataset else "") or MISSING),
    )


def _source_of(report: ValidationReport, dataset: Dataset | None) -> Source | None:
    return report.source or (dataset.source if dataset else None)
