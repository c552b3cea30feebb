"""Turns records into a Merkle tree as Certificate Transparency defines it, and proves with it.

Hashes and proofs are those of RFC 6962, section 2.1 (https://www.rfc-editor.org/rfc/rfc6962); the
checks are the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. Leaves are counted from 0.
Memory grows with the logarithm of the tree's size.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

Node = bytes
"""A hash of 32 bytes: of a leaf, or of a subtree."""
RangeHash = Callable[[int, int], Node]
"""Gives the hash of the subtree over the leaves from the first number up to the second."""

EMPTY_ROOT: Final[Node] = hashlib.sha256().digest()
"""Of the tree without a leaf."""


def leaf_hash(data: bytes) -> Node:
    """Gives a leaf's hash; its first byte keeps it apart from any inner node's."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: Node, right: Node) -> Node:
    """Gives the hash of the node above two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: one hash for each bit of its size.

    Example::

        frontier = Frontier()
        for text in texts:
            frontier.add(leaf_hash(text))
        root = frontier.root()
    """

    def __init__(self) -> None:
        self.size = 0
        """Leaves taken in."""
        self._edge: list[Node] = []

    def add(self, node: Node, leaves: int = 1) -> None:
        """Takes in the next leaf, or a whole subtree.

        Args:
            node: its hash.
            leaves: how many it covers: a power of two that divides the size so far.
        """
        if leaves & (leaves - 1) or self.size % leaves:
            raise ValueError(f"a subtree of {leaves} leaves cannot stand after {self.size}")
        rest = self.size // leaves
        while rest & 1:
            node = node_hash(self._edge.pop(), node)
            rest >>= 1
        self._edge.append(node)
        self.size += leaves

    def root(self, rest: "Frontier | None" = None) -> Node:
        """Gives the hash of the tree as it stands.

        Args:
            rest: leaves that follow; fewer of them than this tree's smallest whole subtree has.
        """
        edge = self._edge + (rest._edge if rest else [])
        if not edge:
            return EMPTY_ROOT
        node = edge[-1]
        for left in reversed(edge[:-1]):
            node = node_hash(left, node)
        return node


def root_of(leaves: Iterable[Node]) -> Node:
    """Gives the root over leaf hashes, one at a time."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def inclusion(index: int, size: int, hash_of: RangeHash) -> tuple[Node, ...]:
    """Proves that a leaf is in the tree: the path of RFC 6962, section 2.1.1.

    Args:
        index: of the leaf.
        size: of the tree.
        hash_of: gives the hashes of its subtrees.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return tuple(hash_of(start, end) for start, end in _beside(index, 0, size))


def consistency(old: int, new: int, hash_of: RangeHash) -> tuple[Node, ...]:
    """Proves that a tree is the beginning of a later one: RFC 6962, section 2.1.2."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} leaves is not the beginning of one of {new}")
    return tuple(hash_of(start, end) for start, end in _between(old, 0, new, whole=True))


def root_by_inclusion(index: int, size: int, leaf: Node, path: Sequence[Node]) -> Node | None:
    """Gives the root that a path leads to, or None if the path is of another length.

    RFC 9162, section 2.1.3.2: equal to the tree's own root, the leaf is in the tree.
    """
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(beside, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, beside)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def is_consistent(old: int, new: int, old_root: Node, new_root: Node, path: Sequence[Node]) -> bool:
    """Says whether a path shows that one tree is the beginning of the other.

    RFC 9162, section 2.1.4.2.
    """
    if not 0 < old <= new:
        return False
    if old == new:
        return old_root == new_root and not path
    nodes = (old_root, *path) if old & (old - 1) == 0 else tuple(path)
    return bool(nodes) and _roots_by_consistency(old, new, nodes) == (old_root, new_root)


def _roots_by_consistency(old: int, new: int, nodes: Sequence[Node]) -> tuple[Node, Node] | None:
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, node)
        place, last = place >> 1, last >> 1
    return (first, second) if last == 0 else None


def _split(start: int, end: int) -> int:
    """Gives where a subtree's left half ends: the largest power of two below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _beside(index: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the subtrees beside the way from a leaf up to the root."""
    if end - start == 1:
        return
    middle = _split(start, end)
    if index < middle:
        yield from _beside(index, start, middle)
        yield middle, end
    else:
        yield from _beside(index, middle, end)
        yield start, middle


def _between(old: int, start: int, end: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Yields the subtrees that lead from the tree of `old` leaves to that of `end`."""
    if old == end:
        if not whole:
            yield start, end
        return
    middle = _split(start, end)
    if old <= middle:
        yield from _between(old, start, middle, whole=whole)
        yield middle, end
    else:
        yield from _between(old, middle, end, whole=False)
        yield start, middle
