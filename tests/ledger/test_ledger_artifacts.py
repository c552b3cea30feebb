"""The artifact store holds whole files under their own hashes, or nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from wherry.contracts import digest_bytes
from wherry.contracts.errors import DigestError, MissingError, UriError
from wherry.ledger import Artifacts

DIGEST = digest_bytes(b"weights")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to publish."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty store."""
    return Artifacts.open(tmp_path / ".wherry")


def test_a_file_lies_under_its_hash_and_cannot_be_written(
    artifacts: Artifacts, source: Path, tmp_path: Path
) -> None:
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    assert ref.uri == f"file:.wherry/artifacts/sha256/{DIGEST[7:9]}/{DIGEST[7:]}/demo.gguf"
    assert (ref.digest, ref.size) == (DIGEST, 7)
    path = artifacts.verified(ref)
    assert path == tmp_path / ref.uri.removeprefix("file:")
    assert path.read_bytes() == b"weights"
    assert path.stat().st_mode & 0o222 == 0


def test_the_copy_is_the_stores_own(artifacts: Artifacts, source: Path) -> None:
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    source.write_bytes(b"changed")
    assert artifacts.verified(ref).read_bytes() == b"weights"


def test_publishing_again_leaves_the_file_alone(artifacts: Artifacts, source: Path) -> None:
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    before = artifacts.verified(ref).stat()
    assert artifacts.publish(source, DIGEST, "demo.gguf") == ref
    assert artifacts.verified(ref).stat().st_ino == before.st_ino


def test_publishing_again_heals_a_damaged_file(artifacts: Artifacts, source: Path) -> None:
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    path = artifacts.verified(ref)
    path.chmod(0o644)
    path.write_bytes(b"weighty")
    with pytest.raises(DigestError):
        artifacts.verified(ref)
    artifacts.publish(source, DIGEST, "demo.gguf")
    assert artifacts.verified(ref).read_bytes() == b"weights"


def test_other_bytes_than_promised_leave_nothing(
    artifacts: Artifacts, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DigestError, match=f"expected {digest_bytes(b'other')}"):
        artifacts.publish(source, digest_bytes(b"other"), "demo.gguf")
    assert [path for path in (tmp_path / ".wherry").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../up.gguf", "/etc/up.gguf", "a/b.gguf", "..", ""])
def test_a_name_that_is_a_path_is_refused(artifacts: Artifacts, source: Path, name: str) -> None:
    with pytest.raises(UriError, match="no file name"):
        artifacts.publish(source, DIGEST, name)


def test_a_missing_cut_or_outside_file_is_named(
    artifacts: Artifacts, source: Path, tmp_path: Path
) -> None:
    ref = artifacts.publish(source, DIGEST, "demo.gguf")
    with pytest.raises(DigestError, match="has 7 bytes, expected 8"):
        artifacts.verified(replace(ref, size=8))
    with pytest.raises(UriError, match="leaves the workspace"):
        artifacts.verified(replace(ref, uri="file:../model.gguf"))
    artifacts.verified(ref).unlink()
    with pytest.raises(MissingError, match="not in the artifact store"):
        artifacts.verified(ref)
