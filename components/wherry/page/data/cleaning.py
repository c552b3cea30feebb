"""What cleaning did to the rows, a line a step."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.contracts.dataset import Cleaned
from wherry.page.words import percent, plural, sentence


@dataclass(frozen=True)
class Step:
    """One cleaning step as a line."""

    name: str
    did: str
    """Such as ``12 of 2,520 rows dropped (0.5%)``."""
    note: str
    idle: bool
    """Whether it found nothing to do."""


def steps_of(cleaned: Sequence[Cleaned]) -> tuple[Step, ...]:
    """Gives the steps in the order in which they ran."""
    return tuple(
        Step(sentence(each.step.replace("_", " ")), _did(each), each.note, _idle(each))
        for each in cleaned
    )


def _idle(cleaned: Cleaned) -> bool:
    return not (cleaned.changed or cleaned.dropped)


def _did(cleaned: Cleaned) -> str:
    parts = [
        f"{count:,} of {plural(cleaned.rows, 'row')} {word} ({percent(count / cleaned.rows)})"
        for word, count in (("changed", cleaned.changed), ("dropped", cleaned.dropped))
        if count and cleaned.rows
    ]
    return ", ".join(parts) or f"nothing to do in {plural(cleaned.rows, 'row')}"
