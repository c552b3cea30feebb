"""What of a repository's data is taken, what it is, and how it is cleaned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from wherry.contracts import Kind, read_settings
from wherry.contracts.dataset import SplitName
from wherry.contracts.errors import SettingsError
from wherry.ingest.clean.settings import STEPS, StepSettings
from wherry.rows.settings import Columns

SPLITS: Final[tuple[SplitName, ...]] = ("train", "eval", "test")
ALL: Final = "all"
"""The key in `IngestSettings.files` of the rows that `IngestSettings.split` divides."""
_GLOB: Final = frozenset("*?[")


@dataclass(frozen=True)
class SplitBy:
    """How one body of rows is divided into train, eval and test.

    A row's split follows from its group alone: no group stands in two splits, and rows that
    are added later move none of the old ones.
    """

    by: Literal["group"] = "group"
    """Rows without a group are grouped by their prompt: letter case, spaces and Unicode variants
    do not count."""
    eval: float = 0.1
    """Share of the groups that go to eval, in [0, 1)."""
    test: float = 0.1
    """Share of the groups that go to test, in [0, 1)."""
    seed: int = 0
    """Another seed gives another division."""

    def __post_init__(self) -> None:
        """Refuses shares that leave no training rows.

        Raises:
            ValueError: naming the field and its value.
        """
        for name in ("eval", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"split.{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 < self.eval + self.test < 1:
            raise ValueError(
                f"split.eval and split.test must add up to a share in (0, 1), "
                f"got {self.eval + self.test:g}"
            )


@dataclass(frozen=True)
class Quarantine:
    """How many rows that cannot be read may be set aside before the run stops."""

    rows: int = 0
    """A number of rows; 0 with a `share` of 0 stops at the first bad row."""
    share: float = 0.0
    """A share of all rows, in [0, 1); the greater of the two limits counts."""

    def __post_init__(self) -> None:
        """Refuses a limit out of its range.

        Raises:
            ValueError: naming the field and its value.
        """
        if self.rows < 0:
            raise ValueError(f"quarantine.rows must be 0 or more, got {self.rows}")
        if not 0 <= self.share < 1:
            raise ValueError(f"quarantine.share must be in [0, 1), got {self.share}")

    @property
    def none(self) -> bool:
        """Whether no row at all may be set aside."""
        return not self.rows and not self.share

    def allowed(self, rows: int) -> int:
        """Gives how many of some rows may be set aside."""
        # Decimal: as binary fractions 0.29 of 100 rows would be 28.
        return max(self.rows, int(Decimal(str(self.share)) * rows))


@dataclass(frozen=True)
class IngestSettings:
    """How a version of some data becomes a data set."""

    path: str = ""
    """The DVC output, relative to the repository's root, or what is taken of a bucket, a hub's
    data set or a folder; empty for the output ``data`` of a repository, elsewhere for all."""
    folder: str = ""
    """The folder inside it with the data files; empty for the output itself."""
    splits: tuple[SplitName, ...] = SPLITS
    """The splits that must be there, each with a row at least; ``train`` is always among them."""
    kind: Kind = "chat"
    """What the rows are."""
    files: dict[str, str] = field(default_factory=dict)
    """Split → a file's name or a glob, such as ``train: claims/2026-*.parquet``; a split that is
    not named is ``SPLIT.jsonl``. With `split`, the one key ``all``."""
    columns: Columns = field(default_factory=Columns)
    """Our names → the data's own, as dotted paths, such as ``prompt: input.question``."""
    clean: tuple[dict[str, dict[str, Any] | None], ...] = ()
    """Cleaning steps in the order in which they run, each as ``NAME: {PARAMETER: VALUE}``."""
    split: SplitBy | None = None
    """Divides the rows of ``files: {all: …}``; None if the data comes in splits."""
    quarantine: Quarantine = field(default_factory=Quarantine)
    """How many rows that cannot be read may be set aside."""
    licence: str = ""
    """The data's licence: an SPDX identifier or a short name."""

    def __post_init__(self) -> None:
        """Refuses what leaves the repository, contradicts itself, or nobody knows.

        Raises:
            ValueError: naming the field and its value.
            SettingsError: naming the cleaning step, the parameter or value, and the choices.
        """
        self._check_paths()
        self._check_splits()
        self._check_files()
        steps_of(self.clean)

    @property
    def steps(self) -> tuple[StepSettings, ...]:
        """The cleaning steps, read."""
        return steps_of(self.clean)

    @property
    def patterns(self) -> dict[str, str]:
        """Split, or ``all``, → the file name or glob of its rows."""
        if self.split:
            return {ALL: self.files[ALL]}
        return {name: self.files.get(name, f"{name}.jsonl") for name in self.splits}

    @property
    def verbatim(self) -> bool:
        """Whether the data's files are the data set's files: nothing is to be rewritten."""
        named = all(self.patterns.get(name) == f"{name}.jsonl" for name in self.splits)
        return named and self.columns == Columns() and not self.clean and not self.split

    @property
    def tokenizers(self) -> frozenset[str]:
        """The data's own files that cleaning steps count tokens with."""
        named = (getattr(step, "tokenizer", "") for step in self.steps)
        return frozenset(str(PurePosixPath(name)) for name in named if name)

    def _check_paths(self) -> None:
        names = {"path": self.path, "folder": self.folder}
        names |= {f"files.{split}": name for split, name in self.files.items()}
        for name, value in names.items():
            parts = PurePosixPath(value).parts
            if ".." in parts or parts[:1] == ("/",):
                raise ValueError(f"{name} must stay inside, got {value!r}")
            if not value and name.startswith("files."):
                raise ValueError(f"{name} must name a file, got ''")

    def _check_splits(self) -> None:
        if "train" not in self.splits or len(set(self.splits)) != len(self.splits):
            raise ValueError(
                f"splits must include train, and each split once, got {list(self.splits)}"
            )
        made = {"train", *(n for n in ("eval", "test") if self.split and getattr(self.split, n))}
        if self.split and made != set(self.splits):
            raise ValueError(
                f"splits asks for {', '.join(self.splits)}, but split makes "
                f"{', '.join(name for name in SPLITS if name in made)}"
            )

    def _check_files(self) -> None:
        known = (ALL,) if self.split else self.splits
        if odd := sorted(set(self.files) - set(known)):
            hint = " (`all` needs `split`)" if odd[0] == ALL else ""
            raise ValueError(
                f"unknown key files.{odd[0]}, expected one of {', '.join(known)}{hint}"
            )
        if self.split and ALL not in self.files:
            raise ValueError("split needs files.all, the file or glob whose rows it divides")


def is_glob(pattern: str) -> bool:
    """Says whether a name in `IngestSettings.files` stands for any number of files."""
    return not _GLOB.isdisjoint(pattern)


def steps_of(clean: tuple[Mapping[str, Mapping[str, Any] | None], ...]) -> tuple[StepSettings, ...]:
    """Reads the list of cleaning steps.

    Raises:
        SettingsError: naming the step, the parameter or the value, and the choices.
    """
    return tuple(_step_of(number, entry) for number, entry in enumerate(clean, 1))


def _step_of(number: int, entry: Mapping[str, Mapping[str, Any] | None]) -> StepSettings:
    where = f"entry {number} of `clean` in the settings of ingest"
    if len(entry) != 1:
        raise SettingsError(
            f"A cleaning step is one name with its parameters, got {sorted(entry)}.",
            remedy=f"Write {where} as NAME: {{PARAMETER: VALUE}}.",
        )
    name, parameters = next(iter(entry.items()))
    if name not in STEPS:
        raise SettingsError(
            f"Unknown cleaning step {name!r}, expected one of {', '.join(STEPS)}.",
            remedy=f"Correct {where}.",
        )
    return read_settings(STEPS[name], dict(parameters or {}), where=f"{name}, {where}")
