"""What changed between two versions, from counts alone."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts import Dataset, Source, Split, read_settings
from wherry.contracts.dataset import SplitName
from wherry.contracts.errors import SettingsError
from wherry.diff.settings import DiffSettings
from wherry.diff.step import (
    OTHERS,
    DataDiff,
    Quantiles,
    Share,
    Side,
    compare,
    kolmogorov_smirnov,
    quantiles,
    total_variation,
)

SHA = "sha256:" + "0" * 64


def dataset(**rows: int) -> Dataset:
    splits = tuple(Split(name, f"{name}.jsonl", count, SHA) for name, count in rows.items())  # type: ignore[arg-type] # names of splits
    return Dataset("chat", splits, SHA, Source("dvc:.", "c0ffee", "data", "md5:0.dir"))


class Numbers:
    """Counts in memory."""

    def __init__(self, **columns: dict[str | int, int]) -> None:
        self._columns = columns

    def fates(self) -> dict[SplitName, tuple[int, int, int, int]]:
        return {"train": (1, 2, 3, 4)}

    def counts(self, side: Side, column: str) -> dict[SplitName, dict[str | int, int]]:
        found = self._columns.get(f"{side}_{column}")
        return {"train": found} if found else {}

    def private(self, names: Collection[str]) -> list[str]:
        return [name for name in names if "@" in name]


COUNTS = st.dictionaries(st.integers(0, 50), st.integers(1, 50), max_size=8)


def naive(before: dict[int, int], after: dict[int, int]) -> float:
    """The definition itself: both cumulative shares at every value."""

    def share(counts: dict[int, int], most: int) -> float:
        return sum(n for value, n in counts.items() if value <= most) / sum(counts.values())

    return max(abs(share(before, v) - share(after, v)) for v in range(51))


@given(COUNTS.filter(bool), COUNTS.filter(bool))
def test_the_distance_of_lengths_is_that_of_kolmogorov_and_smirnov(
    before: dict[int, int], after: dict[int, int]
) -> None:
    assert kolmogorov_smirnov(before, after) == pytest.approx(naive(before, after))
    assert kolmogorov_smirnov(before, before) == 0
    assert kolmogorov_smirnov(before, {}) is None


@given(COUNTS.filter(bool))
def test_quantiles_are_values_that_a_share_of_rows_does_not_exceed(counts: dict[int, int]) -> None:
    found = quantiles(counts)
    assert found is not None
    every = sorted(value for value, n in counts.items() for _ in range(n))
    for share, value in ((0.05, found.p5), (0.5, found.p50), (0.95, found.p95), (1, found.most)):
        assert sum(one <= value for one in every) >= share * len(every)
        assert sum(one < value for one in every) < share * len(every)


def test_quantiles_of_nothing_are_none() -> None:
    assert quantiles({}) is None


@pytest.mark.parametrize(
    ("shares", "distance"),
    [
        ([Share("a", 0.5, 0.5), Share("b", 0.5, 0.5)], 0),
        ([Share("a", 1, 0), Share("b", 0, 1)], 1),
        ([Share("a", 0.5, 0.25), Share("b", 0.5, 0.75)], 0.25),
    ],
)
def test_the_distance_of_shares_is_their_total_variation(
    shares: list[Share], distance: float
) -> None:
    assert total_variation(shares) == distance


def test_a_difference_names_rows_lengths_and_shares() -> None:
    counts = Numbers(
        before_label={"eye": 50, "ear": 50, "ann@example.org": 2},
        after_label={"eye": 60, "ear": 20, "skin": 20},
        before_prompt_characters={5: 10},
        after_prompt_characters={5: 5, 9: 5},
    )
    found = compare(dataset(train=102, test=4), dataset(train=100, test=4), counts, DiffSettings())
    train, test = found.rows
    assert (train.split, train.before, train.after) == ("train", 102, 100)
    assert (train.added, train.removed, train.changed, train.moved_in) == (1, 2, 3, 4)
    assert (test.before, test.after, test.added) == (4, 4, 0)
    lengths = found.lengths[0]
    assert (lengths.feature, lengths.split, lengths.distance) == ("prompt_characters", "train", 0.5)
    assert lengths.after == Quantiles(5, 5, 9, 9)
    [labels] = found.shares
    assert [share.name for share in labels.shares] == ["ear", "skin", "eye", OTHERS]
    assert labels.shares[1].before == 0
    assert "ann@" not in found.to_json()
    assert not found.same
    assert DataDiff.from_json(found.to_json()) == found


def test_a_split_that_one_version_lacks_is_told() -> None:
    found = compare(dataset(train=1), dataset(train=1, eval=2), Numbers(), DiffSettings())
    assert [(one.split, one.before, one.after) for one in found.rows] == [
        ("train", 1, 1),
        ("eval", 0, 2),
    ]
    assert found.lengths[1].distance is None


def test_a_wrong_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="language_rows must be 0 or more, got -1"):
        read_settings(DiffSettings, '{"language_rows": -1}')
