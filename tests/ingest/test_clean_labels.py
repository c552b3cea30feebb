"""Labels are evened out, by the ids of rows and not by their order."""

import random
from collections import Counter
from pathlib import Path

from wherry.contracts import Message, Row
from wherry.contracts.dataset import SplitName
from wherry.ingest.clean.labels import Labels
from wherry.ingest.clean.settings import Balance, Cap

COUNTS = {"eye": 40, "heart": 15, "skin": 4, "": 7}


def rows(split: str = "train") -> list[Row]:
    numbered = enumerate(label for label, count in COUNTS.items() for _ in range(count))
    return [
        Row(f"{split}-{n}", (Message("user", f"{n}"), Message("assistant", label)), label)
        for n, label in numbered
    ]


def kept(folder: Path, settings: Cap | Balance, *parts: tuple[SplitName, list[Row]]) -> list[Row]:
    step = Labels(settings, "cap", folder)
    return [row for _, part in step(list(parts)) for row in part]


def counts(found: list[Row], split: str = "train") -> dict[str, int]:
    return dict(Counter(row.label for row in found if row.id.startswith(split)))


def test_a_cap_keeps_so_many_of_each_label(tmp_path: Path) -> None:
    found = kept(tmp_path, Cap(per_label=10), ("train", rows()))
    assert counts(found) == {"eye": 10, "heart": 10, "skin": 4, "": 7}


def test_only_train_is_capped_unless_asked(tmp_path: Path) -> None:
    parts: tuple[tuple[SplitName, list[Row]], ...] = (("train", rows()), ("test", rows("test")))
    found = kept(tmp_path / "a", Cap(per_label=10), *parts)
    assert counts(found, "test") == COUNTS
    both = kept(tmp_path / "b", Cap(per_label=10, splits=("train", "test")), *parts)
    assert counts(both, "test") == counts(both, "train")


def test_balance_keeps_as_many_as_the_rarest_label_has(tmp_path: Path) -> None:
    even = kept(tmp_path / "a", Balance(), ("train", rows()))
    assert counts(even) == {"eye": 4, "heart": 4, "skin": 4, "": 7}
    looser = kept(tmp_path / "b", Balance(ratio=2.5), ("train", rows()))
    assert counts(looser) == {"eye": 10, "heart": 10, "skin": 4, "": 7}


def test_which_rows_stay_does_not_depend_on_their_order(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(rows(), len(rows()))
    one = kept(tmp_path / "a", Cap(per_label=3), ("train", rows()))
    two = kept(tmp_path / "b", Cap(per_label=3), ("train", shuffled))
    assert {row.id for row in one} == {row.id for row in two}
    other = kept(tmp_path / "c", Cap(per_label=3, seed=1), ("train", rows()))
    assert {row.id for row in one} != {row.id for row in other}


def test_it_is_not_simply_the_first_that_stay(tmp_path: Path) -> None:
    found = kept(tmp_path, Cap(per_label=10), ("train", rows()))
    assert [row.id for row in found if row.label == "eye"] != [f"train-{n}" for n in range(10)]


def test_it_tells_how_many_it_left_out(tmp_path: Path) -> None:
    step = Labels(Cap(per_label=10), "cap", tmp_path)
    list(step([("train", rows())]))
    told = step.cleaned()
    assert (told.step, told.rows, told.dropped) == ("cap", 66, 35)
    assert told.note == "35 over what their label may have"


def test_rows_without_any_label_all_stay(tmp_path: Path) -> None:
    free = [Row(f"train-{n}", text=f"{n}") for n in range(5)]
    assert kept(tmp_path, Balance(), ("train", free)) == free
