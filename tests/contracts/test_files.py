"""Files and folders appear whole or not at all."""

from pathlib import Path

import pytest

from wherry.contracts.files import staged_file, staged_folder, write_atomic


def test_a_folder_appears_when_its_block_ends_well(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_replaces_the_one_that_stood_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("0")
    with staged_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_remains_of_a_folder_whose_block_fails(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("0")
    with pytest.raises(ValueError, match="half"), staged_folder(tmp_path / "out") as folder:
        (folder / "new").write_text("1")
        raise ValueError("half way")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_appears_when_its_block_ends_well(tmp_path: Path) -> None:
    with staged_file(tmp_path / "out") as path:
        path.write_text("1")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_text() == "1"


def test_an_old_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    write_atomic(tmp_path / "out", b"old")
    with pytest.raises(ValueError, match="half"), staged_file(tmp_path / "out") as path:
        path.write_text("new")
        raise ValueError("half way")
    assert (tmp_path / "out").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
