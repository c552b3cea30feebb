"""Rows that share a run of words with a benchmark are named, and no others."""

import json
from pathlib import Path

import polars as pl
import pytest

from wherry.contracts.errors import DataError, MissingError, SettingsError
from wherry.rows.settings import Columns
from wherry.text.overlap import Benchmark, Benchmarks

QUESTION = (
    "A 45 year old man has had pain in the left side of his chest for two hours, "
    "and it spreads to the arm."
)


@pytest.fixture
def plain(tmp_path: Path) -> Benchmark:
    path = tmp_path / "plain.txt"
    path.write_text(f"{QUESTION}\nWhich vitamin is this?\n\n", encoding="utf-8")
    return Benchmark("plain", path)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (QUESTION, "plain"),
        ("Consider this. " + QUESTION.upper() + " What now?", "plain"),
        (QUESTION.replace(",", " --").replace(" ", "\n"), "plain"),
        ("pain in the left side of his chest for two hours and it spreads", "plain"),
        ("pain in the left side of his chest for two hours and", None),
        ("pain in the left side of his chest for three hours and it spreads to", None),
        ("which vitamin is THIS", "plain"),
        ("I wonder: which vitamin is this?", None),
        ("Something else", None),
        ("", None),
        (None, None),
        ("?!", None),
    ],
)
def test_a_run_of_thirteen_words_or_a_whole_short_text_counts(
    plain: Benchmark, text: str | None, name: str | None
) -> None:
    texts = pl.Series(["unrelated", text, "also unrelated"], dtype=pl.String)
    assert Benchmarks([plain]).named(texts).to_list() == [None, name, None]


def test_a_run_does_not_reach_from_one_text_into_the_next(plain: Benchmark) -> None:
    words = QUESTION.split()
    texts = pl.Series([" ".join(words[:8]), " ".join(words[8:16]), " ".join(words[16:])])
    assert Benchmarks([plain]).named(texts).null_count() == 3


def test_the_length_of_a_run_is_a_setting(plain: Benchmark) -> None:
    texts = pl.Series(["he felt pain in the left side of his leg"])
    assert Benchmarks([plain]).named(texts)[0] is None
    assert Benchmarks([plain], words=6).named(texts)[0] == "plain"


def test_rows_of_any_kind_are_read_and_the_first_benchmark_is_named(
    tmp_path: Path, plain: Benchmark
) -> None:
    path = tmp_path / "medqa.jsonl"
    rows = [{"q": QUESTION, "a": "An infarction of the heart"}, {"q": "Of what sort?", "a": "No"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    medqa = Benchmark("medqa", path, "instruction", Columns(prompt="q", completion="a"))
    texts = pl.Series(
        [QUESTION, "of what sort", "an infarction of the heart", "which vitamin is this"]
    )
    both = Benchmarks([medqa, plain]).named(texts).to_list()
    assert both == ["medqa", "medqa", "medqa", "plain"]
    assert Benchmarks([plain, medqa]).named(texts)[0] == "plain"


def test_batches_give_what_the_whole_gives(plain: Benchmark) -> None:
    texts = pl.Series([QUESTION, "no", "which vitamin is this", None] * 10_000)
    assert Benchmarks([plain]).named(texts).to_list() == ["plain", None, "plain", None] * 10_000


def test_no_benchmark_names_nothing() -> None:
    assert Benchmarks([]).named(pl.Series([QUESTION])).to_list() == [None]


def test_an_empty_column_gives_an_empty_one(plain: Benchmark) -> None:
    assert Benchmarks([plain]).named(pl.Series([], dtype=pl.String)).to_list() == []


def test_a_benchmark_without_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("\n \n?\n", encoding="utf-8")
    with pytest.raises(DataError, match="'empty' has no text"):
        Benchmarks([Benchmark("empty", path)])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.txt", b"fine\n\xff\xfe\n", "line 2: no UTF-8"),
        ("bad.jsonl", b'{"text": "fine"}\n{"text": \n', "line 2"),
        ("long.txt", b"a " * (1 << 20), "line 1: longer"),
    ],
)
def test_a_benchmark_that_cannot_be_read_whole_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        Benchmarks([Benchmark("bad", path)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"gone\.txt"):
        Benchmarks([Benchmark("gone", tmp_path / "gone.txt")])


def test_names_must_differ_and_runs_be_long(plain: Benchmark) -> None:
    with pytest.raises(SettingsError, match="names of their own"):
        Benchmarks([plain, plain])
    with pytest.raises(SettingsError, match="at least 5 words"):
        Benchmarks([plain], words=4)
