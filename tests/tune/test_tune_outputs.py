"""What stands where a result goes is never lost, and every result can be read."""

from pathlib import Path

import pytest

from wherry.contracts import Manifest
from wherry.contracts.errors import SettingsError
from wherry.tune.outputs import NOT_ASKED, Outputs
from wherry.tune.run import run


def outputs(root: Path, adapter: str = "a", curve: str = "c.json", merged: str = "") -> Outputs:
    return Outputs(root / adapter, root / curve, root / merged if merged else None)


def test_a_folder_that_no_room_has_made_is_not_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "home/thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years")
    for adapter, merged in (("home", ""), ("a", "home"), ("home/thesis.txt", "")):
        with pytest.raises(SettingsError, match="would be replaced, and is no artifact"):
            outputs(tmp_path, adapter, merged=merged).refuse_loss([])
    with pytest.raises(SettingsError, match="is no artifact"):
        run(tmp_path / "data", tmp_path / "base", thesis.parent, tmp_path / "curve.json")
    assert thesis.read_text() == "years"


@pytest.mark.parametrize("found", [[], ["model.json"], [NOT_ASKED]])
def test_an_empty_folder_and_an_older_result_are(tmp_path: Path, found: list[str]) -> None:
    (tmp_path / "a").mkdir()
    for name in found:
        (tmp_path / "a" / name).touch()
    if "model.json" in found:
        Manifest.seal(tmp_path / "a")
    before = sorted(tmp_path.rglob("*"))
    outputs(tmp_path).refuse_loss([tmp_path / "data"])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("adapter", "curve", "merged"),
    [
        ("a", "a/curve.json", ""),
        ("a", "c.json", "a"),
        ("a", "c.json", "a/merged"),
        ("m/adapter", "c.json", "m"),
        ("data", "c.json", ""),
        ("data/adapter", "c.json", ""),
        ("a", "data/curve.json", ""),
        ("a", "c.json", "x/../data"),
    ],
)
def test_no_result_lies_in_another_or_in_an_input(
    tmp_path: Path, adapter: str, curve: str, merged: str
) -> None:
    """Each is sealed: a file more would make all of it worthless."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").touch()
    Manifest.seal(tmp_path / "data")
    (tmp_path / "x").mkdir()
    with pytest.raises(SettingsError, match="one lies in the other|is named twice"):
        outputs(tmp_path, adapter, curve, merged).refuse_loss([tmp_path / "data"])


def test_places_side_by_side_are_taken(tmp_path: Path) -> None:
    outputs(tmp_path, "out/a", "out/c.json", "out/m").refuse_loss([tmp_path / "out/data"])
    assert list(tmp_path.iterdir()) == []  # to look is to make nothing
