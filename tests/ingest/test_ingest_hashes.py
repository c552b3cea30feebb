"""Running hashes against those that the stores' own tools give."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts.errors import DigestError
from wherry.ingest.hashes import Beside, digits, running


def of(expected: str, data: bytes, piece: int = 7) -> str:
    check = running(expected, len(data))
    assert check is not None
    for start in range(0, len(data), piece):
        check.update(data[start : start + piece])
    return check.hexdigest()


@pytest.mark.parametrize(
    "known",
    [
        "md5:25f9e794323b453885f5181f1b624d0b",
        "sha1:f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        "sha256:15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        "crc32:cbf43926",  # the check values of both polynomials
        "crc32c:e3069283",
    ],
)
def test_hashes_are_those_of_the_standards(known: str) -> None:
    assert of(known, b"123456789") == digits(known)


def test_gits_blob_is_hashed_with_its_size() -> None:
    # echo 'test content' | git hash-object --stdin, from the Pro Git book
    known = "git:d670460b4b4aece5915caf5c68d12f560a9fe3e4"
    assert of(known, b"test content\n") == digits(known)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50), st.integers(1, 60))
def test_an_etag_of_parts_does_not_depend_on_how_bytes_arrive(
    data: bytes, size: int, piece: int
) -> None:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert of(f"parts:{size}:x-1", data, piece) == f"{whole}-{len(parts)}"


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_a_hash_in_its_own_thread_takes_all_pieces_in_their_order(pieces: list[bytes]) -> None:
    with Beside(hashlib.sha256()) as beside:
        for piece in pieces:
            beside.update(piece)
        assert beside.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_a_fault_of_a_hash_in_its_own_thread_is_not_lost() -> None:
    class Broken:
        def update(self, data: bytes, /) -> None:
            raise MemoryError

        def hexdigest(self) -> str:
            return ""

    with Beside(Broken()) as beside, pytest.raises(MemoryError):
        beside.update(b"x")
        beside.hexdigest()


@pytest.mark.parametrize("mark", ["", "etag:abc-3"])
def test_an_opaque_mark_is_not_compared(mark: str) -> None:
    assert running(mark) is None


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DigestError, match="unknown kind"):
        running("blake9:00")
