"""Finds personal data by the project's own patterns."""

from collections.abc import Sequence

import polars as pl

from wherry.text.patterns import PII
from wherry.text.redact import redact_series
from wherry.text.spans import Finder


class PatternData:
    """Implements `PersonalData` by `wherry.text.patterns.PII`: forms, not names of people."""

    def spans(self, texts: Sequence[str]) -> Sequence[Sequence[tuple[int, int]]]:
        """Gives where personal data begins and ends, text by text."""
        found = Finder(pl.Series(list(texts), dtype=pl.String)).found(PII)
        return [sorted(found.get(row, ())) for row in range(len(texts))]

    def redacted(self, texts: Sequence[str]) -> Sequence[str]:
        """Gives the texts with a placeholder wherever there was any."""
        clean, _ = redact_series(pl.Series(list(texts), dtype=pl.String), PII)
        return list(clean)
