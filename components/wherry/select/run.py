"""Wires the choice of a base model: a need and a catalogue in, a suggestion out."""

from pathlib import Path

from wherry.contracts import parse_uri, read_settings
from wherry.contracts.errors import MissingError
from wherry.progress import stage
from wherry.select.catalogue import load
from wherry.select.settings import Need
from wherry.select.sizes import say_size
from wherry.select.step import Suggestion, suggest
from wherry.workspace import workspace


def run(suggestion: Path, settings: str = "") -> str:
    """Suggests a base model, and gives the id of the first that fits.

    Args:
        suggestion: where to write the `Suggestion`; it is written if nothing fits, too.
        settings: a `Need` as JSON.

    Raises:
        MissingError: if nothing fits.
    """
    with stage("select") as report:
        need = read_settings(Need, settings, where="what is needed of a base model")
        told = suggest(load(_own(need)), need)
        told.write(suggestion)
        if not told.chosen:
            raise MissingError(
                f"None of {len(told.misfits)} models fits: {told.advice[0].reason}.",
                remedy=f"Read why in {suggestion}, then ask for less, or give more memory.",
            )
        best = told.fits[0]
        report.verdict(
            f"{best.id}, {say_size(best.serve_bytes)} to serve, "
            f"{len(told.fits)} of {len(told.fits) + len(told.misfits)} fit"
        )
    return told.chosen


def suggestion_for(need: Need, catalogue: Path | None = None) -> Suggestion:
    """Gives a suggestion without writing it.

    Args:
        need: what the model is for and what it may use.
        catalogue: a team's own, over ours.
    """
    return suggest(load(catalogue), need)


def _own(need: Need) -> Path | None:
    if not need.catalogue:
        return None
    return Path(parse_uri(f"file:{need.catalogue}", workspace=workspace()).path)
