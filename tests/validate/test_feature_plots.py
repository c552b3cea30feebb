"""How features are spread over the splits, for plots."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.feature_tables import batches, words
from tests.fakes.rows import chat, row, splits
from wherry.contracts.validation import Column
from wherry.validate.features import Instruments
from wherry.validate.features.build import feature_table
from wherry.validate.features.plots import distributions, plotted


def plots(
    folder: Path, found: dict[str, list[dict[str, Any]]], bins: int = 20
) -> dict[tuple[str, str], Column]:
    """Distributions by column and split."""
    tools = Instruments(count_tokens=words)
    table = feature_table(batches(found), folder, plotted(tokenizer=True), tools)
    return {(one.name, one.split): one for one in distributions(table, bins)}


def asked(length: int) -> list[dict[str, str]]:
    return chat(("user", "word " * length), ("assistant", "eye"))


def test_the_distributions_count_every_row_once(tmp_path: Path) -> None:
    found = plots(tmp_path, splits())
    for name in ("prompt_tokens", "completion_tokens", "label"):
        counted = {split: sum(c.counts) for (of, split), c in found.items() if of == name}
        assert counted == {"train": 30, "eval": 9, "test": 9}, name


def test_bins_share_their_edges_between_splits(tmp_path: Path) -> None:
    rows = {
        "train": [row(n, messages=asked(4)) for n in range(30)],
        "eval": [row(n, "eval", messages=asked(11)) for n in range(9)],
        "test": [row(n, "test", messages=asked(9)) for n in range(9)],
    }
    found = plots(tmp_path, rows, bins=4)
    train, test = found["prompt_tokens", "train"], found["prompt_tokens", "test"]
    assert train.bins == test.bins == ("4-5", "6-7", "8-9", "10-11")
    assert train.counts == (30, 0, 0, 0)
    assert found["prompt_tokens", "eval"].counts == (0, 0, 0, 9)
    assert test.counts == (0, 0, 9, 0)


def test_a_text_that_slipped_in_as_a_label_is_not_shown(tmp_path: Path) -> None:
    rows = splits()
    rows["train"].append(row(0, label="Jane Doe", id="odd"))
    found = plots(tmp_path, rows)
    assert "Jane" not in repr(found)
    train = found["label", "train"]
    assert dict(zip(train.bins, train.counts, strict=True))["(others)"] == 1


def test_of_many_labels_the_most_frequent_are_shown(tmp_path: Path) -> None:
    rare = [row(n, label=f"a{n % 60:02}", id=f"{n}") for n in range(180)]
    often = [row(n, label="zebra", id=f"z{n}") for n in range(40)]
    train = plots(tmp_path, {"train": [*rare, *often]})["label", "train"]
    counts = dict(zip(train.bins, train.counts, strict=True))
    assert counts["zebra"] == 40
    assert len(counts) == 51
    assert counts["(others)"] == 11 * 3
    assert list(train.bins[:-1]) == sorted(train.bins[:-1])


def test_data_without_labels_or_rows_has_no_plot_of_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert ("label", "train") not in plots(tmp_path / "a", {"train": [row(0, label="")] * 4})
    assert plots(tmp_path / "b", {"train": []}) == {}


@pytest.mark.parametrize("tokenizer", [True, False])
def test_lengths_are_in_tokens_where_they_can_be(tokenizer: bool) -> None:
    assert ("prompt_tokens" in plotted(tokenizer=tokenizer)) == tokenizer
    assert ("prompt_characters" in plotted(tokenizer=tokenizer)) != tokenizer


def test_a_label_that_looks_like_personal_data_is_never_shown(tmp_path: Path) -> None:
    private = "jane.doe" + "@example.org"
    rows = splits()
    for one in rows["train"][:9]:
        one["label"] = private
    labels = plots(tmp_path, rows)[("label", "train")]
    assert private not in labels.bins
    assert dict(zip(labels.bins, labels.counts, strict=True))["(others)"] == 9


def test_two_versions_of_the_data_have_their_edges_in_common(tmp_path: Path) -> None:
    edges = []
    for number, most in enumerate((60, 75)):
        rows = {"train": [row(n, messages=asked(1 + n % most)) for n in range(90)]}
        (tmp_path / str(number)).mkdir()
        edges.append(set(plots(tmp_path / str(number), rows)[("prompt_tokens", "train")].bins))
    assert edges[0] < edges[1]
