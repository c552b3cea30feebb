"""The page on data in a real browser, as wide as a telephone and as a desk."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.page.browser import NEEDS_CHROMIUM, measured
from tests.page.reader import PAYLOAD
from tests.validate.reports import dataset, failed, passed
from wherry.contracts.validation import Column, ValidationReport
from wherry.validate.page import write_page

pytestmark = NEEDS_CHROMIUM


def long_names() -> ValidationReport:
    """A report whose names are longer than any telephone is wide, and hostile."""
    names = tuple(f"label {n} {'and so on ' * 9}{PAYLOAD}" for n in range(40))
    columns = (Column("label", "x" * 90, names, tuple(range(100, 140))),)
    asked = tuple(
        replace(each, column="column_" * 20, note="why " * 60, unexpected_count=10**7)
        for each in failed().expectations
    )
    return replace(failed(), columns=columns, expectations=asked)


@pytest.mark.parametrize(
    "report", [failed(), passed(), long_names()], ids=["failed", "passed", "long"]
)
def test_it_fits_every_width_and_loads_nothing(report: ValidationReport, tmp_path: Path) -> None:
    write_page(report, tmp_path / "page.html", dataset())
    page = (tmp_path / "page.html").read_text()
    for seen in measured(page, tmp_path, 400, 768, 1280):
        assert seen["plots"] >= 1
        assert seen["scrolls"] <= 0, seen
        assert seen["wide"] == [], seen
        assert seen["clashes"] == [], seen
        assert seen["smallest"] >= 11, seen
        assert seen["loaded"] == [], seen
