"""The page on data as a reader and a browser get it."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.page.reader import LOADS, Reader, poisoned
from tests.validate.reports import dataset, failed, passed
from wherry.contracts.dataset import Dataset
from wherry.contracts.validation import Column, ValidationReport
from wherry.validate.page import compose, write_page

GOLDENS = Path(__file__).parent / "goldens"
BOTH = pytest.mark.parametrize("report", [failed(), passed()], ids=["failed", "passed"])


def shown(report: ValidationReport, folder: Path, data: Dataset | None = None) -> str:
    write_page(report, folder / "page.html", data)
    return (folder / "page.html").read_text()


@BOTH
def test_it_is_whole_small_and_loads_nothing(report: ValidationReport, tmp_path: Path) -> None:
    html = shown(report, tmp_path, dataset())
    reader = Reader(html)
    assert reader.open == []
    assert len(html) < 120_000
    for attribute in LOADS:
        assert all(value.startswith("#") for value in reader.values(attribute))
    tags = {tag for tag, _ in reader.tags}
    assert not {"script", "link", "iframe", "object", "embed", "img", "base"} & tags
    assert all(url == "#hatch" for url in re.findall(r"url\(([^)]*)\)", html))
    assert "default-src 'none'" in html


@BOTH
def test_ids_are_unique_and_headings_leave_out_no_level(
    report: ValidationReport, tmp_path: Path
) -> None:
    reader = Reader(shown(report, tmp_path, dataset()))
    ids = Counter(reader.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    wanted = {name for value in reader.values("aria-labelledby") for name in value.split()}
    wanted |= {value.removeprefix("#") for value in reader.values("href")}
    assert wanted <= set(ids)
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_no_name_of_the_data_becomes_markup_or_steers_anything(tmp_path: Path) -> None:
    clean = Reader(shown(failed(), tmp_path, dataset()))
    html = shown(poisoned(failed()), tmp_path, poisoned(dataset()))
    attacked = Reader(html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert attacked.open == []
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in clean.tags}
    names = {name for _, attributes in clean.tags for name in attributes}
    assert {name for _, attributes in attacked.tags for name in attributes} == names


def test_control_characters_of_a_name_are_shown_as_escapes(tmp_path: Path) -> None:
    odd = "red\x1b[31m\x00\u202eeno\ud800"
    columns = (Column("label", "train", (odd, "blue\nand green"), (3, 4)),)
    html = shown(replace(passed(), columns=columns), tmp_path)
    assert not set("\x1b\x00\u202e") & set(html)
    assert "red\\x1b[31m\\x00\\u202eeno" in html
    assert "blue\nand green" in html


def test_a_refusal_says_why_before_anything_else(tmp_path: Path) -> None:
    lines = Reader(shown(failed(), tmp_path, dataset())).lines
    assert "The data is not fit" in lines
    assert "2,520 rows; 11 of 16 checks hold; 3 critical failed; 2 warnings." in lines
    reasons = lines.index("Why it is refused")
    assert lines[reasons + 1 : reasons + 4] == [
        "No e-mail addresses: 14 of 2,520 rows broke it.",
        "No duplicates: 61 of 2,520 rows broke it.",
        "Values in range: prompt_tokens: 37 of 2,520 rows broke it; expected between 4 and 64.",
    ]


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (passed(), "The data is fit"),
        (replace(failed(), passed=True, expectations=failed().expectations[3:]),
         "The data is fit, with warnings"),
        (replace(passed(), expectations=()), "Nothing was checked"),
    ],
)  # fmt: skip
def test_the_verdict_never_flatters(report: ValidationReport, word: str) -> None:
    assert compose(report).verdict.badge.word == word


def test_source_and_licence_are_told_whole(tmp_path: Path) -> None:
    lines = Reader(shown(failed(), tmp_path, dataset())).lines
    assert "9f2c41d07be35a8c6ea0c1f4d2b7709e5518aa3c" in lines
    assert "md5:4b825dc642cb6eb9a060e54bf8d69288.dir" in lines
    assert lines[lines.index("Licence") + 1] == "US-PD"


def test_rows_that_could_not_be_read_are_told_by_reason(tmp_path: Path) -> None:
    lines = Reader(shown(failed(), tmp_path)).lines
    start = lines.index("Rows that could not be read", lines.index("Rows that broke a check"))
    assert lines[start + 1 : start + 5] == [
        "28",
        "messages must end with an assistant turn after at least one other",
        "3",
        "the line is no JSON object",
    ]


def test_what_changed_is_told_with_the_size_of_each_shift(tmp_path: Path) -> None:
    lines = Reader(shown(failed(), tmp_path)).lines
    row = lines.index("Prompt tokens", lines.index("Shift"))
    assert lines[row : row + 4] == ["Prompt tokens", "median 20 to 29", "median 30 to 39", "0.31"]


def test_a_report_without_a_former_version_says_nothing_of_changes(tmp_path: Path) -> None:
    assert "Since the last version" not in Reader(shown(passed(), tmp_path)).lines


def test_the_same_data_again_is_told_so(tmp_path: Path) -> None:
    since = failed().since
    assert since is not None
    report = replace(failed(), since=replace(since, changes=()))
    assert "Nothing that this report measures has changed." in Reader(shown(report, tmp_path)).lines


def test_cleaning_is_told_where_the_data_set_is_known(tmp_path: Path) -> None:
    lines = Reader(shown(passed(), tmp_path, dataset())).lines
    assert "9 of 2,611 rows dropped (0.3%)" in lines
    assert "What cleaning did before" not in Reader(shown(passed(), tmp_path)).lines


def test_a_report_of_nothing_is_a_page_still(tmp_path: Path) -> None:
    report = replace(
        passed(), passed=False, rows=0, expectations=(), columns=(), source=None, quarantined=()
    )
    lines = Reader(shown(report, tmp_path)).lines
    assert "Nothing was checked" in lines
    assert "The suite asked for nothing." in lines
    assert "No distribution was recorded." in lines


@BOTH
def test_what_a_reader_reads_is_as_it_was(
    report: ValidationReport, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    text = "\n".join(Reader(shown(report, tmp_path, dataset())).lines) + "\n"
    golden = GOLDENS / f"{'passed' if report.passed else 'failed'}.txt"
    if request.config.getoption("--update-goldens", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
