"""Near copies are found as brute force finds them, whatever the order, and no others."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.contracts.errors import SettingsError
from wherry.text.minhash import jaccard, shingles
from wherry.text.near import FEWEST_SHINGLES, NearDuplicates, bands
from wherry.text.normal import normalised

THRESHOLD = 0.8


def repeats(folder: Path, texts: Sequence[str], keys: Sequence[int] | None = None) -> dict:
    near = NearDuplicates(folder, THRESHOLD)
    near.add(range(len(texts)) if keys is None else keys, texts)
    return dict(near.repeats())


def vary(text: str, chance: random.Random) -> str:
    words = text.split()
    for _ in range(chance.randint(1, 4)):
        words[chance.randrange(len(words))] = chance.choice(["left", "right", "mild", "severe"])
    return " ".join(words)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    chance = random.Random(7)
    letters = "abcdefghijklmnoprstuw"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(600)]
    made: list[str] = []
    for _ in range(800):
        if made and chance.random() < 0.4:
            made.append(vary(chance.choice(made), chance))
        else:
            made.append(" ".join(chance.choices(words, k=chance.randint(8, 40))))
    return made


@pytest.fixture(scope="module")
def pairs(texts: list[str]) -> list[tuple[int, int]]:
    """All similar pairs by brute force: how many shingles each two texts share."""
    sets = [shingles(normalised(text)) for text in texts]
    places = {shingle: place for place, shingle in enumerate(sorted(frozenset().union(*sets)))}
    matrix = np.zeros((len(sets), len(places)), dtype=np.float32)
    for row, mine in enumerate(sets):
        matrix[row, [places[shingle] for shingle in mine]] = 1
    both = matrix @ matrix.T
    sizes = both.diagonal()
    alike = both / (sizes[:, None] + sizes - both)
    rows, columns = np.nonzero(np.triu(alike >= THRESHOLD, 1))
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def clusters(pairs: Sequence[tuple[int, int]], count: int) -> dict[int, int]:
    root = list(range(count))
    for one, other in sorted(pairs) * 2:
        low, high = sorted((root[one], root[other]))
        root = [low if r == high else r for r in root] if low != high else root
    return {row: first for row, first in enumerate(root) if row != first}


def test_recall_and_precision_against_brute_force(
    tmp_path: Path, texts: list[str], pairs: list[tuple[int, int]]
) -> None:
    found = repeats(tmp_path, texts)
    true = clusters(pairs, len(texts))
    assert len(true) > 100
    assert found.keys() <= true.keys()
    assert len(found.keys() & true.keys()) / len(true) >= 0.98
    same = sum(found[row] == true[row] for row in found)
    assert same / len(found) >= 0.97


def test_the_order_and_the_batches_do_not_count(tmp_path: Path, texts: list[str]) -> None:
    whole = repeats(tmp_path / "whole", texts)
    order = list(range(len(texts)))
    random.Random(3).shuffle(order)
    near = NearDuplicates(tmp_path / "parts", THRESHOLD)
    for start in range(0, len(order), 333):
        part = order[start : start + 333]
        near.add(part, [texts[row] for row in part])
    assert list(near.repeats()) == sorted(whole.items())


LINE = "The left knee is swollen, red and painful since the fall of last Monday evening."


@pytest.mark.parametrize(
    "copy",
    [
        LINE,
        LINE.upper(),
        LINE.replace(" ", "  "),
        LINE.replace("red", "Red").rstrip("."),
        LINE.replace("left", "right"),
    ],
)
def test_a_copy_with_small_changes_is_found(tmp_path: Path, copy: str) -> None:
    assert repeats(tmp_path, [LINE, "Something else that nobody would mistake for it.", copy]) == {
        2: 0
    }


def test_another_text_is_no_copy(tmp_path: Path) -> None:
    other = "The left knee is fine, but the right hip has hurt since the fall of last winter."
    assert repeats(tmp_path, [LINE, other]) == {}


def test_short_texts_are_copies_only_if_they_are_equal(tmp_path: Path) -> None:
    short = ["metformin 500 mg", "metformin 850 mg", "Metformin  500 MG", "ok", "ok", "no"]
    assert all(len(text) < FEWEST_SHINGLES + 4 for text in short)
    assert repeats(tmp_path, short) == {2: 0, 4: 3}


def test_an_empty_text_is_a_copy_of_nothing(tmp_path: Path) -> None:
    assert repeats(tmp_path, ["", "  ", "\n", LINE]) == {}


def test_the_smallest_key_is_the_cluster_s_first(tmp_path: Path) -> None:
    keys = [2**62, -5, 17]
    assert repeats(tmp_path, [LINE, LINE + "!", LINE], keys) == {2**62: -5, 17: -5}


def test_nothing_added_gives_nothing(tmp_path: Path) -> None:
    assert list(NearDuplicates(tmp_path).repeats()) == []


def test_a_column_is_taken_as_well_as_a_list(tmp_path: Path) -> None:
    near = NearDuplicates(tmp_path)
    near.add([1, 2], pl.Series([LINE, LINE]))
    assert list(near.repeats()) == [(2, 1)]


def test_letters_beyond_ascii_and_long_texts(tmp_path: Path) -> None:
    long = "Größe 漢字 🙂 " + " ".join(f"Wort{number}" for number in range(20_000))
    texts = ["漢字の長い文章がここにあります。患者は胸の痛みを訴えています。"] * 2
    assert repeats(tmp_path, [long, *texts, long + " Ende"]) == {2: 1, 3: 0}


def test_a_bucket_of_many_is_one_cluster(tmp_path: Path) -> None:
    texts = [f"{LINE} Note number {number:04}." for number in range(3000)]
    assert set(repeats(tmp_path, texts).values()) == {0}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text("ab c", max_size=40), max_size=12))
def test_what_is_reported_is_equal_or_similar(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    found = repeats(tmp_path_factory.mktemp("near"), texts)
    plain = [normalised(text) for text in texts]
    sets = [shingles(text) for text in plain]
    alike = [
        pair
        for pair in itertools.combinations(range(len(texts)), 2)
        if plain[pair[0]] == plain[pair[1]] != ""
        or (
            (min(len(plain[r]) for r in pair) >= FEWEST_SHINGLES + 4)
            and jaccard(sets[pair[0]], sets[pair[1]]) >= THRESHOLD
        )
    ]
    assert found.keys() <= clusters(alike, len(texts)).keys()


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_miss_few_pairs_at_the_threshold(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= 256
    assert 1 - (1 - threshold**rows) ** count >= 0.98


@pytest.mark.parametrize("threshold", [0.4, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(SettingsError, match=r"\[0.5, 1\]"):
        NearDuplicates(tmp_path, threshold)
