"""Finds near copies among any number of texts: MinHash, bands, then the exact similarity.

Two texts are near copies if the sets of their 5-character shingles, taken after `normalised`,
have a Jaccard similarity of the threshold at least. MinHash signatures (Broder 1997) fall into
bands; texts that share a band are candidates (Leskovec et al., Mining of Massive Datasets,
chapter 3); a sketch of a byte a hash drops most of those that are none; what remains is compared
for real. So no pair is reported that is not similar, and a pair right at the threshold is missed
in some 2 of 100 cases, one well above it practically never.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from wherry.contracts.errors import SettingsError
from wherry.text.minhash import HASHES, SHINGLE, Family, estimate
from wherry.text.normal import normalise_series
from wherry.text.spill import Spill

FEWEST_SHINGLES: Final = 20
"""Below it one changed digit is too much of a text: only an exact copy counts."""

_MISSED: Final = 0.02
"""Share of pairs right at the threshold that may never meet in a band."""
_MARGIN: Final = 0.06
"""How far a sketch may fall below the threshold: over two standard deviations of it."""
_NEIGHBOURS: Final = 4
"""Texts that each is compared with in one bucket of a band, besides the bucket's first."""
_BATCH: Final = 1 << 14
"""Texts taken at once."""
_BLOCK: Final = 1 << 14
"""Pairs compared at once."""
_CHUNK: Final = 1 << 17
"""Texts whose sketches are in memory at once."""
_PARTITION: Final = 1 << 20
"""Texts of one band that are sorted at once."""

_Ints = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]
_Mask = npt.NDArray[np.bool_]


class NearDuplicates:
    """Gathers texts on disk, then says which are near copies of an earlier one.

    The result depends on the texts, keys and threshold alone, not on the order or the batches
    in which they were added. Memory is some 40 bytes a text and 200 MB besides; the disk holds
    about 600 bytes a text and the text itself.

    Args:
        folder: an empty one for the spill; the caller removes it.
        threshold: least Jaccard similarity, in [0.5, 1].

    Raises:
        SettingsError: if the threshold is out of its range.

    Example::

        near = NearDuplicates(folder, threshold=0.8)
        near.add([1, 2], ["The knee is swollen and red.", "The knee is swollen and red!"])
        dict(near.repeats())  # {2: 1}
    """

    def __init__(self, folder: Path, threshold: float = 0.8) -> None:
        if not 0.5 <= threshold <= 1:
            raise SettingsError(
                f"near-duplicate threshold must be in [0.5, 1], got {threshold}.",
                remedy="Use 0.8 if in doubt.",
            )
        self._threshold = threshold
        self._bands, self._rows = bands(threshold)
        folder.mkdir(parents=True, exist_ok=True)
        self._spill = Spill(folder)
        self._family = Family(self._bands, self._rows)

    def add(self, keys: Sequence[int], texts: Sequence[str] | pl.Series) -> None:
        """Takes more texts.

        Args:
            keys: a 64-bit number a text, each used once; the smallest of a cluster is its first.
            texts: as many. An empty one is a copy of nothing.
        """
        for start in range(0, len(texts), _BATCH):
            part = pl.Series(texts[start : start + _BATCH], dtype=pl.String)
            self._add(np.asarray(keys[start : start + _BATCH], np.int64), normalise_series(part))

    def repeats(self) -> Iterator[tuple[int, int]]:
        """Gives each text that is a near copy, as its key and the cluster's smallest key.

        A cluster holds what is similar directly or through others; pairs come in order of keys.
        """
        self._spill.flush()
        try:
            yield from self._repeats()
        finally:
            self._spill.close()

    def _repeats(self) -> Iterator[tuple[int, int]]:
        keys = self._spill.array("keys", np.int64)
        clusters = _Clusters(keys)
        alone = self._join_equal(clusters)
        for band in range(self._bands):
            self._join_similar(clusters, band, alone)
            self._spill.let_go()
        roots = clusters.roots()
        copies = np.flatnonzero(roots != np.arange(len(roots)))
        for row in copies[np.argsort(keys[copies], kind="stable")]:
            yield int(keys[row]), int(keys[roots[row]])

    def _add(self, keys: _Ints, texts: pl.Series) -> None:
        sizes = texts.str.len_chars().to_numpy().astype(np.int64)
        counts = np.where(sizes - SHINGLE + 1 >= FEWEST_SHINGLES, sizes - SHINGLE + 1, 0)
        signatures = self._family.signatures(texts, counts)
        self._spill.write("keys", keys)
        self._spill.write("exact", np.where(sizes > 0, texts.hash().to_numpy(), 0))
        for band, hashes in enumerate(self._family.band_hashes(signatures)):
            self._spill.write(f"band{band}", np.where(counts > 0, hashes, 0))
        self._spill.write("sketch", signatures.astype(np.uint8))
        self._spill.write_texts(texts)

    def _join_equal(self, clusters: "_Clusters") -> _Mask:
        """Joins exact copies, and says which texts are the first of theirs."""
        first = np.ones(len(clusters.keys), dtype=np.bool_)
        for hashes, rows in self._buckets("exact", clusters.keys, first):
            again = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
            clusters.parents[rows[again]] = rows[_starts(hashes)[again]]
            first[rows[again]] = False
        return first

    def _join_similar(self, clusters: "_Clusters", band: int, alone: _Mask) -> None:
        for hashes, rows in self._buckets(f"band{band}", clusters.keys, alone):
            for at in range(0, len(rows), _CHUNK):
                self._join_chunk(clusters, hashes[at : at + _CHUNK], rows[at : at + _CHUNK])

    def _join_chunk(self, clusters: "_Clusters", hashes: _Hashes, rows: _Ints) -> None:
        sketches = self._spill.sketches(rows)
        for earlier, later in _candidates(hashes):
            roots = clusters.roots()[rows]
            apart = roots[earlier] != roots[later]
            earlier, later = earlier[apart], later[apart]
            alike = estimate(sketches[earlier], sketches[later]) >= self._threshold - _MARGIN
            for one, other in zip(rows[earlier[alike]], rows[later[alike]], strict=True):
                self._join_pair(clusters, int(one), int(other))

    def _join_pair(self, clusters: "_Clusters", one: int, other: int) -> None:
        apart = clusters.root(one) != clusters.root(other)
        if apart and self._spill.similarity(one, other) >= self._threshold:
            clusters.join(one, other)

    def _buckets(self, name: str, keys: _Ints, wanted: _Mask) -> Iterator[tuple[_Hashes, _Ints]]:
        """Gives the wanted rows that share a hash with another, by hash and then by key."""
        stored = self._spill.array(name, np.uint64)
        parts = -(-len(stored) // _PARTITION)
        for part in range(parts):
            rows = np.flatnonzero(wanted & (stored != 0) & (stored % np.uint64(parts) == part))
            hashes = stored[rows]
            order = np.lexsort((keys[rows], hashes))
            hashes, rows = hashes[order], rows[order]
            shared = np.zeros(len(rows), dtype=np.bool_)
            shared[1:] = hashes[1:] == hashes[:-1]
            shared[:-1] |= shared[1:]
            yield hashes[shared], rows[shared]


def bands(threshold: float) -> tuple[int, int]:
    """Gives the number of bands and the hashes in each, for a threshold.

    The longest bands, which make the fewest false candidates, in which pairs right at the
    threshold still meet: 1 - (1 - t^rows)^bands is 0.98 at least.
    """
    fit = [
        (HASHES // rows, rows)
        for rows in range(1, HASHES + 1)
        if 1 - (1 - threshold**rows) ** (HASHES // rows) >= 1 - _MISSED
    ]
    # A threshold of 1 wants equal sets of shingles, which eight bands find as well as one.
    return max(fit, key=lambda pair: pair[1] if pair[0] >= 8 else 0)


def _starts(hashes: _Hashes) -> _Ints:
    """Gives for each place of a sorted array the first place of the same value."""
    places = np.arange(len(hashes))
    places[1:][hashes[1:] == hashes[:-1]] = 0
    return np.maximum.accumulate(places)


def _candidates(hashes: _Hashes) -> Iterator[tuple[_Ints, _Ints]]:
    """Gives pairs of places of one bucket: neighbours, and each with the first; block by block.

    All pairs would be quadratic in the bucket; clusters join through neighbours as well.
    """
    starts, places = _starts(hashes), np.arange(len(hashes))
    for distance in range(1, _NEIGHBOURS + 1):
        yield from _blocks(places - distance, starts <= places - distance)
    yield from _blocks(starts, starts < places - _NEIGHBOURS)


def _blocks(partners: _Ints, valid: _Mask) -> Iterator[tuple[_Ints, _Ints]]:
    places = np.flatnonzero(valid)
    for start in range(0, len(places), _BLOCK):
        block = places[start : start + _BLOCK]
        yield partners[block], block


class _Clusters:
    """Which texts belong together; the smallest key is a cluster's root."""

    def __init__(self, keys: _Ints) -> None:
        self.keys = keys
        self.parents = np.arange(len(keys), dtype=np.int64)

    def root(self, row: int) -> int:
        """Gives the root of a row, and shortens the way to it."""
        while (parent := int(self.parents[row])) != row:
            self.parents[row] = self.parents[parent]
            row = parent
        return row

    def roots(self) -> _Ints:
        """Gives the root of every row."""
        while True:
            above = self.parents[self.parents]
            if np.array_equal(above, self.parents):
                return above
            self.parents = above

    def join(self, one: int, other: int) -> None:
        """Makes one cluster of two."""
        first, second = sorted((self.root(one), self.root(other)), key=self.keys.__getitem__)
        self.parents[second] = first
