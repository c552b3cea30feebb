"""What is quantized and the rows that it is judged on, re-hashed before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.contracts import Dataset, Manifest, ModelRef, Row
from wherry.contracts.dataset import DATASET_NAME, read_rows
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import check_pair, check_template

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Source


@dataclass(frozen=True)
class Pair:
    """A base and an adapter that belong together."""

    base: Path
    adapter: Path
    origin: ModelRef
    """The base's."""
    tuned: ModelRef
    """The adapter's."""

    @classmethod
    def verified(cls, base: Path, adapter: Path) -> "Pair":
        """Re-hashes both folders and compares what they say of each other."""
        origin, tuned = ModelRef.verified(base), ModelRef.verified(adapter)
        check_pair(origin, tuned)
        return cls(base, adapter, origin, tuned)

    def source(self) -> "Source":
        """Opens the base's GGUF file, if its template is the one that training used."""
        from wherry.quantize.adapters.gguf_file import Source

        source = Source.of_folder(self.base)
        check_template(source.template, self.origin)
        return source


@dataclass(frozen=True)
class Rows:
    """The rows that the forms are compared on, and those that show what matters."""

    compared: Sequence[Row]
    scored: Sequence[Row]
    weighed: Sequence[Row]
    labels: Sequence[str]
    digest: str
    """Of the compared split's file."""

    @classmethod
    def verified(cls, dataset: Path, settings: QuantizeSettings) -> "Rows":
        """Re-hashes the data set and reads what is needed of it."""
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)

        def first(split: str, count: int) -> list[Row]:
            # No further: a split may hold more than fits into memory.
            return list(islice(read_rows(dataset / data.split(split).file), count))

        rows = first(settings.split, max(settings.rows, settings.scored_rows))
        weighed = settings.importance_rows if settings.weighed else 0
        return cls(
            rows[: settings.rows],
            rows[: settings.scored_rows],
            first(settings.importance_split, weighed) if weighed else [],
            data.labels,
            data.split(settings.split).digest,
        )
