"""The page on what changed, as a reader and a browser get it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.page.reader import LOADS, Reader, poisoned
from wherry.contracts import Source
from wherry.diff.page import compose, write_page
from wherry.diff.step import (
    DataDiff,
    LengthShift,
    Quantiles,
    Share,
    ShareShift,
    SplitRows,
    Version,
)


def version(revision: str, rows: int) -> Version:
    source = Source("dvc:.", revision, "data", "md5:" + "0" * 32 + ".dir")
    return Version(source, "sha256:" + "0" * 64, rows)


def changed() -> DataDiff:
    labels = (Share("eye", 0.5, 0.25), Share("ear", 0.5, 0.75))
    return DataDiff(
        version("a" * 40, 39),
        version("b" * 40, 41),
        (SplitRows("train", 30, 32, 7, 5, 1, 0), SplitRows("test", 9, 9, 0, 0, 0, 2)),
        (
            LengthShift("prompt_characters", "train", Quantiles(5, 20, 40, 90), None, None),
            LengthShift(
                "prompt_characters", "test", Quantiles(5, 20, 40, 90), Quantiles(6, 30, 50, 99), 0.5
            ),
        ),
        (
            ShareShift("label", "train", 0.25, labels),
            ShareShift(
                "language", "train", None, tuple(Share(f"l{n}", 0.05, 0.05) for n in range(20))
            ),
        ),
    )


def same() -> DataDiff:
    return DataDiff(
        version("a" * 40, 30),
        version("b" * 40, 30),
        (SplitRows("train", 30, 30, 0, 0, 0, 0),),
        (),
        (),
    )


BOTH = pytest.mark.parametrize("found", [changed(), same()], ids=["changed", "same"])


def shown(found: DataDiff, folder: Path) -> str:
    write_page(found, folder / "page.html")
    return (folder / "page.html").read_text()


@BOTH
def test_it_is_whole_small_and_loads_nothing(found: DataDiff, tmp_path: Path) -> None:
    html = shown(found, tmp_path)
    reader = Reader(html)
    assert reader.open == []
    assert len(html) < 60_000
    for attribute in LOADS:
        assert all(value.startswith("#") for value in reader.values(attribute))
    assert not {"script", "link", "iframe", "object", "embed", "img"} & {t for t, _ in reader.tags}
    assert all(url == "#hatch" for url in re.findall(r"url\(([^)]*)\)", html))


@BOTH
def test_ids_are_unique_and_every_link_leads_somewhere(found: DataDiff, tmp_path: Path) -> None:
    reader = Reader(shown(found, tmp_path))
    ids = Counter(reader.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {value.removeprefix("#") for value in reader.values("href")} <= set(ids)


def test_it_tells_what_became_of_the_rows(tmp_path: Path) -> None:
    text = " ".join(Reader(shown(changed(), tmp_path)).lines)
    assert "39 rows before, 41 after: 7 added, 5 removed, 1 changed, 2 moved in." in text
    assert "train 30 32 7 5 1 0" in text
    assert "The same rows" not in text
    assert "The same rows" in " ".join(Reader(shown(same(), tmp_path)).lines)


def test_shifts_are_drawn_with_their_size() -> None:
    page = compose(changed())
    (length,) = page.lengths
    assert [row.label for row in length.rows] == ["train, before", "test, before", "test, after"]
    assert "test 0.50" in length.frame.description
    before, after = (row.marks[0] for row in length.rows[1:])
    assert None not in (before.start, before.end)
    assert before.at < after.at
    label, language = page.shares
    assert [(row.label, row.value) for row in label.rows] == [
        ("eye", "−25.0\N{NO-BREAK SPACE}points"),
        ("ear", "+25.0\N{NO-BREAK SPACE}points"),
    ]
    assert len(language.rows) == 12
    assert "8 more values" in language.frame.description
    assert compose(same()).fates is None


def test_no_name_of_the_data_becomes_markup(tmp_path: Path) -> None:
    clean, html = Reader(shown(changed(), tmp_path)), shown(poisoned(changed()), tmp_path)
    attacked = Reader(html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert Counter(tag for tag, _ in attacked.tags) == Counter(tag for tag, _ in clean.tags)
