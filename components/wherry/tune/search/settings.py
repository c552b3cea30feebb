"""What is searched for the best tuning recipe, and for how long."""

import typing
from dataclasses import asdict, dataclass, field, fields
from typing import Final, Literal

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.contracts.search import Value
from wherry.tune.settings import TuneSettings

_INCOMPARABLE: Final = {
    "objective": "changes what the eval loss is",
    "max_length": "changes which rows the eval loss is taken on",
    "beta": "changes what the eval loss is",
    "temperature": "changes what the eval loss is",
    "teacher_weight": "changes what the eval loss is",
    "eval_points": "changes when the eval loss is measured",
    "seed": "would choose the luckiest run, not the best recipe",
    "trackers": "has no influence on the eval loss",
}


@dataclass(frozen=True)
class Span:
    """The values that one setting may take: a range of numbers, or choices."""

    low: float | None = None
    """The lowest."""
    high: float | None = None
    """The highest."""
    log: bool = False
    """Whether every order of magnitude of the range is as likely."""
    choices: tuple[Value, ...] = ()
    """Instead of a range."""

    def __post_init__(self) -> None:
        ranged = self.low is not None or self.high is not None or self.log
        if ranged == bool(self.choices):
            raise ValueError("a span needs either low and high, or choices")
        if self.choices:
            return
        if self.low is None or self.high is None or not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be more than 0 where log is true, got {self.low:g}")

    @property
    def ends(self) -> tuple[Value, ...]:
        """Gives its choices, or the ends of its range."""
        return self.choices or (self.low or 0.0, self.high or 0.0)

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


@dataclass(frozen=True)
class SearchSettings:
    """A search; the trials or the minutes end it, whichever is used up first."""

    space: dict[str, Span] = field(default_factory=dict)
    """Name of a `TuneSettings` field → its values."""
    recipe: TuneSettings = TuneSettings()  # noqa: RUF009 - frozen
    """The settings that are not searched."""
    trials: int = 20
    """Recipes tried at most, those that were pruned included."""
    minutes: float = 60.0
    """Wall time of all trials together; looked at about 40 times in each."""
    seed: int = 0
    """Of what is tried; the same seed tries the same."""
    pruner: Literal["median", "none"] = "median"
    """``median`` ends a trial whose lowest eval loss is above the median of the complete trials
    at the same measurement."""
    startup: int = 5
    """Complete trials before any is pruned."""

    def __post_init__(self) -> None:
        if not self.space:
            raise ValueError("space must name a setting to search, got none")
        for name, least in (("trials", 1), ("seed", 0), ("startup", 1)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0 < self.minutes < float("inf"):
            raise ValueError(f"minutes must be more than 0, got {self.minutes:g}")
        if self.recipe.eval_points < 2:
            raise ValueError(
                f"recipe.eval_points must be at least 2, got {self.recipe.eval_points}"
            )
        for name, span in self.space.items():
            _refuse_unfit(name, span, self.recipe)

    def recipe_of(self, values: dict[str, Value]) -> TuneSettings:
        """Gives a trial's whole recipe.

        Raises:
            SettingsError: if the values contradict each other.
        """
        return read_settings(TuneSettings, {**asdict(self.recipe), **values})


def whole(name: str) -> bool:
    """Whether a setting is a whole number."""
    return _HINTS[name] is int


_HINTS: Final = typing.get_type_hints(TuneSettings)
_NAMES: Final = tuple(one.name for one in fields(TuneSettings) if one.name not in _INCOMPARABLE)


def _refuse_unfit(name: str, span: Span, recipe: TuneSettings) -> None:
    if name in _INCOMPARABLE:
        raise ValueError(f"space.{name} cannot be searched: it {_INCOMPARABLE[name]}")
    if name not in _NAMES:
        raise ValueError(f"space.{name} is no tune setting, expected one of {', '.join(_NAMES)}")
    if not span.choices and _HINTS[name] not in (int, float):
        raise ValueError(f"space.{name} needs choices: it is no number")
    for value in span.ends:
        _refuse_value(name, value, recipe, ranged=not span.choices)


def _refuse_value(name: str, value: Value, recipe: TuneSettings, *, ranged: bool) -> None:
    if ranged and whole(name):
        if not float(value).is_integer():  # type: ignore[arg-type] # a range has numbers
            raise ValueError(f"space.{name} must have whole ends, got {value}")
        value = int(value)  # type: ignore[arg-type] # as above
    try:
        read_settings(TuneSettings, {**asdict(recipe), name: value})
    except SettingsError as error:
        raise ValueError(f"space.{name} cannot be {value!r}: {error.message}") from error
