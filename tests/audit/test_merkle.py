"""Hashes and proofs are those of RFC 6962, by the vectors of Certificate Transparency."""

import hashlib
import random

import pytest

from wherry.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    Node,
    RangeHash,
    consistency,
    inclusion,
    is_consistent,
    leaf_hash,
    root_by_inclusion,
    root_of,
)

# The reference implementation's vectors, github.com/google/certificate-transparency,
# cpp/merkletree/merkle_tree_test.cc: leaves, roots of the first 1 to 8, paths, consistency.
LEAVES = tuple(
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
EXTENSIONS = {
    (1, 1): [],
    (1, 8): PATHS[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def hashes_of(leaves: tuple[bytes, ...]) -> RangeHash:
    """The subtrees of a list of leaves."""
    return lambda start, end: root_of(map(leaf_hash, leaves[start:end]))


def plain_root(leaves: tuple[bytes, ...]) -> Node:
    """The definition of RFC 6962, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    middle = max(1 << bit for bit in range(20) if 1 << bit < len(leaves))
    left, right = plain_root(leaves[:middle]), plain_root(leaves[middle:])
    return hashlib.sha256(b"\1" + left + right).digest()


def some_leaves(count: int) -> tuple[bytes, ...]:
    return tuple(f"record {number}".encode() for number in range(count))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert root_of(map(leaf_hash, LEAVES[:size])).hex() == ROOTS[size]


@pytest.mark.parametrize(("place", "path"), PATHS.items())
def test_paths_are_those_of_the_reference(place: tuple[int, int], path: list[str]) -> None:
    index, size = place
    proof = inclusion(index, size, hashes_of(LEAVES[:size]))
    assert [node.hex() for node in proof] == path
    found = root_by_inclusion(index, size, leaf_hash(LEAVES[index]), proof)
    assert found and found.hex() == ROOTS[size]


@pytest.mark.parametrize(("sizes", "path"), EXTENSIONS.items())
def test_extensions_are_those_of_the_reference(sizes: tuple[int, int], path: list[str]) -> None:
    proof = consistency(*sizes, hashes_of(LEAVES))
    assert [node.hex() for node in proof] == path
    roots = [bytes.fromhex(ROOTS[size]) for size in sizes]
    assert is_consistent(*sizes, *roots, proof)


def test_every_proof_of_every_small_tree_holds_and_no_other() -> None:
    leaves = some_leaves(33)
    for size in range(1, 34):
        root = plain_root(leaves[:size])
        for index in range(size):
            path = inclusion(index, size, hashes_of(leaves[:size]))
            leaf = leaf_hash(leaves[index])
            assert root_by_inclusion(index, size, leaf, path) == root
            assert root_by_inclusion(index, size, leaf_hash(b"other"), path) != root
            assert root_by_inclusion(index, size, leaf, (*path, root)) != root
            if path:
                assert root_by_inclusion(index, size, leaf, path[:-1]) != root


def test_every_extension_of_every_small_tree_holds_and_no_other() -> None:
    leaves, forged = some_leaves(20), (b"rewritten", *some_leaves(20)[1:])
    for new in range(1, 21):
        for old in range(1, new + 1):
            old_root, new_root = plain_root(leaves[:old]), plain_root(leaves[:new])
            path = consistency(old, new, hashes_of(leaves))
            assert is_consistent(old, new, old_root, new_root, path)
            assert not is_consistent(old, new, plain_root(forged[:old]), new_root, path)
            assert not is_consistent(old, new, old_root, plain_root(forged[:new]), path)
            assert not is_consistent(old, new, old_root, new_root, (*path, new_root))
            assert not path or not is_consistent(old, new, old_root, new_root, path[:-1])


def test_whole_subtrees_give_the_root_of_their_leaves() -> None:
    leaves = [leaf_hash(leaf) for leaf in some_leaves(77)]
    frontier = Frontier()
    for start in range(0, 64, 16):
        frontier.add(root_of(leaves[start : start + 16]), 16)
    for leaf in leaves[64:]:
        frontier.add(leaf)
    assert (frontier.size, frontier.root()) == (77, root_of(leaves))
    whole, rest = Frontier(), Frontier()
    whole.add(root_of(leaves[:64]), 64)
    for leaf in leaves[64:]:
        rest.add(leaf)
    assert whole.root(rest) == root_of(leaves)


@pytest.mark.parametrize("leaves", [3, 4])
def test_a_subtree_in_the_wrong_place_is_refused(leaves: int) -> None:
    frontier = Frontier()
    frontier.add(leaf_hash(b""))
    with pytest.raises(ValueError, match="cannot stand after 1"):
        frontier.add(leaf_hash(b""), leaves)


def test_memory_grows_with_the_logarithm_of_the_size() -> None:
    frontier, leaf = Frontier(), leaf_hash(b"x")
    for _ in range(100_000):
        frontier.add(leaf)
    assert len(frontier._edge) == bin(100_000).count("1")


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion(index, size, hashes_of(LEAVES))
    assert root_by_inclusion(index, size, leaf_hash(b""), ()) is None


@pytest.mark.parametrize(("old", "new"), [(0, 4), (5, 4)])
def test_a_larger_tree_is_no_beginning(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="not the beginning"):
        consistency(old, new, hashes_of(LEAVES))
    assert not is_consistent(old, new, EMPTY_ROOT, EMPTY_ROOT, ())


def test_random_flips_of_a_proof_are_found() -> None:
    chance, leaves = random.Random(7), some_leaves(300)
    root = root_of(map(leaf_hash, leaves))
    for _ in range(200):
        index = chance.randrange(300)
        path = list(inclusion(index, 300, hashes_of(leaves))) if index % 20 == 0 else None
        if path is None:
            continue
        step, byte = chance.randrange(len(path)), chance.randrange(32)
        changed = bytearray(path[step])
        changed[byte] ^= 1 << chance.randrange(8)
        path[step] = bytes(changed)
        assert root_by_inclusion(index, 300, leaf_hash(leaves[index]), path) != root
