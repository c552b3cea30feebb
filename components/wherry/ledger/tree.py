"""Keeps the Merkle tree over the audit rows, so that a proof reads few of them.

A leaf is a row's stored text. The hash of each whole block of 256 rows is kept beside the rows:
what a proof needs are these hashes and at most two blocks of texts. They are a cache: anyone can
make them again, and `verification` holds them against the rows.
"""

from typing import TYPE_CHECKING, Final

from wherry.contracts.errors import StoreError
from wherry.ledger.merkle import Frontier, Node, consistency, inclusion, leaf_hash, root_of

if TYPE_CHECKING:
    from wherry.ledger.tables import Tables

BLOCK: Final = 256
"""Rows that one kept hash covers; a power of two."""
_BATCH: Final = 64
"""Blocks whose hashes are kept in one transaction."""


class Tree:
    """The Merkle tree over the first rows of a log.

    Args:
        tables: with the rows.
        size: how many of them the tree covers.
        blocks: the kept hashes.
    """

    def __init__(self, tables: "Tables", size: int, blocks: list[Node]) -> None:
        self.size = size
        self._tables = tables
        self._blocks = blocks

    @classmethod
    def of(cls, tables: "Tables") -> "Tree":
        """Gives the tree over all rows there are, after keeping what hashes are new.

        Raises:
            StoreError: if the kept hashes have a gap.
        """
        _grow(tables)
        with tables.reading():
            return cls(tables, tables.head()[0], _kept(tables))

    def root(self, size: int | None = None) -> Node:
        """Gives the root over the first `size` rows, or over all."""
        return self.hash_of(0, self.size if size is None else size)

    def inclusion(self, seq: int, size: int | None = None) -> tuple[Node, ...]:
        """Gives the path from a row, counted from 1, to the root."""
        return inclusion(seq - 1, self.size if size is None else size, self.hash_of)

    def consistency(self, old: int, new: int) -> tuple[Node, ...]:
        """Gives the proof that the tree of the first `old` rows is the beginning of `new`."""
        return consistency(old, new, self.hash_of)

    def hash_of(self, start: int, end: int) -> Node:
        """Gives the hash of the subtree over rows `start` + 1 to `end`."""
        frontier = Frontier()
        if start % BLOCK == 0:
            for node in self._blocks[start // BLOCK : end // BLOCK]:
                frontier.add(node, BLOCK)
        for _, _, text in self._tables.raw_rows(start + frontier.size, end):
            frontier.add(leaf_hash(text.encode()))
        return frontier.root()


def _grow(tables: "Tables") -> None:
    """Keeps the hashes of the blocks that are whole by now."""
    whole = tables.head()[0] // BLOCK
    while (first := len(_kept(tables))) < whole:
        # Hashed before the lock, for rows never change: nobody waits who has a row to write.
        hashes = [_hash(tables, number) for number in range(first, min(first + _BATCH, whole))]
        with tables.writing():
            # Another process may have kept some of them meanwhile.
            for number in range(len(_kept(tables)), first + len(hashes)):
                tables.add_block(number, hashes[number - first])


def _hash(tables: "Tables", number: int) -> str:
    rows = tables.raw_rows(number * BLOCK, (number + 1) * BLOCK)
    return root_of(leaf_hash(text.encode()) for _, _, text in rows).hex()


def _kept(tables: "Tables") -> list[Node]:
    nodes: list[Node] = []
    for number, text in tables.blocks():
        if number != len(nodes):
            raise StoreError(
                f"the hash kept of block {len(nodes)} of the audit rows is gone.",
                remedy="Run `wherry audit verify`, then restore the store from a backup.",
            )
        nodes.append(_node(number, text))
    return nodes


def _node(number: int, text: str) -> Node:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise StoreError(
            f"the hash kept of block {number} of the audit rows is no hash.",
            remedy="Run `wherry audit verify`, then restore the store from a backup.",
        ) from error
