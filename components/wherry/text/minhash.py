"""Turns texts into MinHash signatures, whose agreement estimates how similar the texts are."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

SHINGLE: Final = 5
"""Characters; longer ones would tell short texts apart that differ in a word."""
HASHES: Final = 256
"""Functions of a signature."""

_BLOCK: Final = 1 << 16
"""Shingles hashed at once: few enough for a processor's cache."""
_SEED: Final = 20240613

_Ints = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]
_Words = npt.NDArray[np.uint32]


class Family:
    """The hash functions: multiplication by an odd number, modulo 2^32, permutes a hash.

    Args:
        bands: into how many bands a signature falls.
        rows: the hashes in each.
    """

    def __init__(self, bands: int, rows: int) -> None:
        random = np.random.Generator(np.random.PCG64(_SEED))
        self._factors = random.integers(0, 1 << 32, HASHES, dtype=np.uint32) | np.uint32(1)
        self._mixers = random.integers(0, 1 << 63, rows, dtype=np.uint64) | np.uint64(1)
        self._bands, self._rows = bands, rows

    def signatures(self, texts: pl.Series, counts: _Ints) -> _Words:
        """Gives the least of each function over each text's shingles: texts by functions.

        Texts of like length stand side by side in a rectangle, the shorter ones' last shingle
        repeated, so that the minimum runs along the processor's vectors.

        Args:
            texts: `normalised` already, without nulls.
            counts: the shingles of each; of a text with none the signature is all zeros.
        """
        hashes = _shingle_hashes(texts)
        sizes = texts.str.len_chars().to_numpy().astype(np.int64)
        starts = np.cumsum(sizes) - sizes
        signatures = np.zeros((len(texts), HASHES), dtype=np.uint32)
        for rows in _rectangles(counts):
            steps = np.arange(counts[rows[-1]])[:, None]
            block = hashes[starts[rows] + np.minimum(steps, counts[rows] - 1)]
            signatures[rows] = self._least(block)
        return signatures

    def _least(self, block: _Words) -> _Words:
        least = np.empty((HASHES, block.shape[1]), dtype=np.uint32)
        product = np.empty_like(block)
        for function, factor in enumerate(self._factors):
            np.multiply(block, factor, out=product)
            np.minimum.reduce(product, axis=0, out=least[function])
        return least.T

    def band_hashes(self, signatures: _Words) -> Iterator[_Hashes]:
        """Gives one 64-bit hash a text for each band; never 0."""
        for band in range(self._bands):
            part = signatures[:, band * self._rows : (band + 1) * self._rows]
            yield mixed((part * self._mixers).sum(axis=1, dtype=np.uint64)) | np.uint64(1)


def estimate(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Estimates similarities from sketches, which agree by chance in one byte of 256.

    Li and König, b-Bit Minwise Hashing, 2010.
    """
    agree: npt.NDArray[np.float64] = (one == other).mean(axis=1)
    return (agree - 1 / 256) / (1 - 1 / 256)


def shingles(text: str) -> frozenset[str]:
    """Gives the set of 5-character shingles of a text that is `normalised` already."""
    # A list first: it is made in half the time of a generator.
    return frozenset([text[at : at + SHINGLE] for at in range(len(text) - SHINGLE + 1)])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Gives the share that two sets have in common; 1 of two empty ones."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if one or other else 1.0


def _rectangles(counts: _Ints) -> Iterator[_Ints]:
    """Gives groups of texts of like length, each of a bounded number of shingles in all."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    while len(order):
        head = order[:_BLOCK]
        area = counts[head] * np.arange(1, len(head) + 1)
        width = max(1, int(np.searchsorted(area, _BLOCK, side="right")))
        yield order[:width]
        order = order[width:]


def _shingle_hashes(texts: pl.Series) -> _Words:
    """Gives the hash of the shingle that starts at each character of the texts put together."""
    points = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(points) < SHINGLE:
        return np.zeros(0, dtype=np.uint32)
    last = len(points) - SHINGLE + 1
    rolled = points[:last].copy()
    for offset in range(1, SHINGLE):
        rolled *= np.uint64(0x9E3779B97F4A7C15)
        rolled += points[offset : last + offset]
    return (mixed(rolled) >> np.uint64(32)).astype(np.uint32)


def mixed(hashes: _Hashes) -> _Hashes:
    """SplitMix64's finaliser: every bit of the input sways every bit of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
