"""Data quality: what the suite asked, what the data had, how it is spread."""

from dataclasses import dataclass

from wherry.contracts.validation import ValidationReport
from wherry.page.data.checks import Checks, checks_of
from wherry.page.data.cleaning import Step, steps_of
from wherry.page.data.faults import Cause, Faults, faults_of, set_aside_causes
from wherry.page.data.spread import Spread, spread_of
from wherry.page.view import Fact, Signpost, State
from wherry.page.words import MISSING, number, plural, sentence
from wherry.report.evidence import Evidence


@dataclass(frozen=True)
class DataSection:
    """What the template shows of the data."""

    signpost: Signpost
    facts: tuple[Fact, ...]
    cleaned: tuple[Step, ...]
    checks: Checks
    spread: Spread
    faults: Faults
    set_aside: tuple[Cause, ...]


def data_section(evidence: Evidence, quarantine_lines: int) -> DataSection:
    """Gives the data section; `quarantine_lines` rows at most are listed one by one."""
    dataset, report = evidence.dataset, evidence.validation
    return DataSection(
        signpost=_signpost(report),
        facts=_facts(evidence),
        cleaned=steps_of(dataset.cleaned),
        checks=checks_of(report.expectations),
        spread=spread_of(report.columns, dataset.labels, report.expectations),
        faults=faults_of(report.quarantined, quarantine_lines),
        set_aside=set_aside_causes(report.set_aside),
    )


def _signpost(report: ValidationReport) -> Signpost:
    passed = sum(expectation.passed for expectation in report.expectations)
    total = len(report.expectations)
    state: State = "bad" if not report.passed else "good" if passed == total else "warn"
    text = f"{plural(report.rows, 'row')}, {passed} of {total} checks passed"
    return Signpost("data", "Data", state, text)


def _facts(evidence: Evidence) -> tuple[Fact, ...]:
    dataset, faulty = evidence.dataset, len(evidence.validation.quarantined)
    splits = (
        Fact(f"{sentence(split.name)} rows", f"{split.rows:,}", digest=split.digest)
        for split in dataset.splits
    )
    return (
        *splits,
        *([Fact("Labels", number(len(dataset.labels)))] if dataset.labels else ()),
        Fact("Rows that failed a check", f"{faulty:,} listed" if faulty else "none"),
        *([Fact("Rows set aside", f"{dataset.set_aside:,}")] if dataset.set_aside else ()),
        Fact("Licence", dataset.licence or MISSING),
    )
