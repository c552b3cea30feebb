"""A folder's identity is every byte and every name in it."""

import os
from pathlib import Path

import pytest

from wherry.contracts import Manifest, digest_bytes, digest_file
from wherry.contracts.digest import refuse_foreign
from wherry.contracts.errors import DigestError, ManifestError, MissingError, SettingsError

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sealed folder of two files."""
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("two")
    Manifest.seal(tmp_path)
    return tmp_path


def test_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert digest_file(tmp_path / "empty") == digest_bytes(b"") == EMPTY


def test_a_sealed_folder_verifies_and_keeps_its_digest(folder: Path) -> None:
    assert Manifest.verified(folder).digest == Manifest.of_folder(folder).digest


def test_the_digest_does_not_hang_on_where_the_folder_lies(folder: Path) -> None:
    moved = folder.rename(folder.with_name("elsewhere"))
    assert Manifest.of_folder(moved).digest == Manifest.verified(moved).digest


def test_a_flipped_byte_is_found(folder: Path) -> None:
    (folder / "a.txt").write_text("onE")
    with pytest.raises(DigestError, match=r"a\.txt has digest sha256:.*expected sha256:"):
        Manifest.verified(folder)


def test_an_extra_file_is_found_hidden_or_not(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    with pytest.raises(ManifestError, match=r"\.hidden is not in its manifest"):
        Manifest.verified(folder)


def test_a_missing_and_a_renamed_file_are_found(folder: Path) -> None:
    (folder / "a.txt").rename(folder / "c.txt")
    with pytest.raises(ManifestError, match=r"a\.txt is missing"):
        Manifest.verified(folder)


@pytest.mark.parametrize("target", ["deep/b.txt", "nowhere"])
def test_a_link_is_refused_even_to_a_file_within(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(folder / target)
    with pytest.raises(ManifestError, match="link is not a plain file"):
        Manifest.verified(folder)


def test_a_pipe_is_refused_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ManifestError, match="pipe is not a plain file"):
        Manifest.verified(folder)


def test_a_folder_without_manifest_or_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no file"):
        Manifest.seal(tmp_path)
    with pytest.raises(ManifestError, match=r"has no manifest\.json"):
        Manifest.verified(tmp_path)
    with pytest.raises(MissingError, match="gone is not there"):
        Manifest.verified(tmp_path / "gone")


def test_only_an_artifact_may_be_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    refuse_foreign(folder)
    folder.mkdir()
    refuse_foreign(folder)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="would be replaced, and is no artifact"):
        refuse_foreign(folder)
    with pytest.raises(SettingsError, match=r"thesis\.txt would be replaced"):
        refuse_foreign(folder / "thesis.txt")
    refuse_foreign(folder, "thesis.txt")
    (folder / "manifest.json").write_text('{"name": "an app of the web"}')
    with pytest.raises(SettingsError, match="no artifact"):
        refuse_foreign(folder)
    Manifest.seal(folder)
    refuse_foreign(folder)
