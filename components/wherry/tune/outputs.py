"""Where a run's results go, and what stands there that must not be lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wherry.contracts.digest import refuse_foreign
from wherry.contracts.errors import SettingsError

NOT_ASKED: Final = "not-asked-for.txt"
"""All that a task's `merged` holds where the recipe wants none."""


@dataclass(frozen=True)
class Outputs:
    """Where a run's results go."""

    adapter: Path
    curve: Path
    merged: Path | None

    def refuse_loss(self, inputs: Sequence[Path]) -> None:
        """Sees, before anything is learnt, that no result destroys something else.

        A folder is replaced as a whole, and a file more would break its seal.

        Args:
            inputs: the folders that the run reads.

        Raises:
            SettingsError: naming the place.
        """
        folders = [path for path in (self.adapter, self.merged) if path]
        for folder in folders:
            refuse_foreign(folder, NOT_ASKED)
        for one, other in self._pairs(folders, inputs):
            if one == other:
                raise SettingsError(
                    f"{one} is named twice: what is made there would replace the other.",
                    remedy="Give each output a place of its own, outside the inputs.",
                )
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise SettingsError(
                    f"{one} and {other} cannot both be kept: one lies in the other.",
                    remedy="Give each output a place of its own, outside the inputs.",
                )

    def _pairs(
        self, folders: Sequence[Path], inputs: Sequence[Path]
    ) -> Iterator[tuple[Path, Path]]:
        """Gives every two places that must lie apart, one of them an output."""
        places = [path.resolve() for path in (*folders, self.curve)]
        for number, place in enumerate(places):
            for other in (*places[:number], *(path.resolve() for path in inputs)):
                yield place, other
