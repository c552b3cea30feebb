"""The page in a real browser, as wide as a telephone and as a desk."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.page.browser import NEEDS_CHROMIUM, measured
from tests.report.duel import other_data, versus
from tests.report.records import LABELS, dataset, evidence, refused
from wherry.contracts.validation import Column
from wherry.page.render import render
from wherry.report.evidence import Evidence
from wherry.report.settings import ReportSettings
from wherry.report.step import compose
from wherry.report.versus.evidence import Versus
from wherry.report.versus.step import compose as compare

pytestmark = NEEDS_CHROMIUM


def shown(found: Evidence) -> str:
    composed = compose(found, ReportSettings(), name="icd10-triage")
    return render("wherry.report", "page.html", page=composed)


def long_names() -> Evidence:
    """A run whose names and values are longer than any telephone is wide."""
    found = evidence()
    names = tuple(f"{label} and other diseases that are classified elsewhere" for label in LABELS)
    columns = (Column("label", "train", names, tuple(range(1000, 1021))),)
    assert found.release is not None
    assert found.deployment is not None
    return replace(
        found,
        dataset=replace(dataset(), labels=names),
        validation=replace(found.validation, columns=columns),
        release=replace(found.release, name="a-very-long-name-" * 4, uri="gs://" + "bucket/" * 30),
        deployment=replace(
            found.deployment, url="https://" + "long." * 20 + "example", checks=("x" * 400,)
        ),
    )


@pytest.mark.parametrize(
    "found", [evidence(), refused(), long_names()], ids=["released", "refused", "long"]
)
def test_it_fits_every_width_and_loads_nothing(found: Evidence, tmp_path: Path) -> None:
    for seen in measured(shown(found), tmp_path, 400, 768, 1280):
        assert seen["plots"] >= 7
        assert seen["scrolls"] <= 0, seen
        assert seen["wide"] == [], seen
        assert seen["clashes"] == [], seen
        assert seen["smallest"] >= 11, seen
        assert seen["loaded"] == [], seen


@pytest.mark.parametrize("found", [versus(), other_data(versus())], ids=["same", "other"])
def test_a_comparison_fits_every_width_and_loads_nothing(found: Versus, tmp_path: Path) -> None:
    for seen in measured(
        render("wherry.report", "versus.html", page=compare(found)), tmp_path, 400, 768, 1280
    ):
        assert seen["scrolls"] <= 0, seen
        assert seen["wide"] == [], seen
        assert seen["clashes"] == [], seen
        assert seen["smallest"] >= 11, seen
        assert seen["loaded"] == [], seen


def test_the_harness_finds_what_it_looks_for(tmp_path: Path) -> None:
    folded, unfolded = measured(shown(evidence()), tmp_path, 90)
    assert folded["clashes"]
    assert folded["wide"]
    assert unfolded["height"] > folded["height"] > 5000
