"""The cleaning steps by name, each with its parameters."""

from dataclasses import dataclass
from typing import Final, Literal

from wherry.contracts.dataset import SplitName
from wherry.text.patterns import PII, SECRETS, Pattern

By = Literal["prompt", "row"]
"""What two rows are compared by: the question alone, or question and answers."""


@dataclass(frozen=True)
class NormaliseUnicode:
    """Writes the same characters in the same way, in every text and in the label."""

    form: Literal["NFC", "NFKC"] = "NFC"
    """NFC keeps how a text looks; NFKC also folds ligatures, full-width letters and the like."""


@dataclass(frozen=True)
class StripControl:
    """Takes control characters but tab and line ends out of every text and the label."""


@dataclass(frozen=True)
class RedactPii:
    """Replaces what names a person, in every text, by what it was: ``[EMAIL]``.

    Identifiers, labels and groups are no texts: they stay.
    """

    patterns: tuple[str, ...] = tuple(dict.fromkeys(pattern.name for pattern in PII))
    """Names of `wherry.text.patterns`, of personal data or of secrets."""
    extra: tuple[Pattern, ...] = ()
    """Patterns of the team's own, personal data or secrets, each with ``name`` and ``regex`` at
    least."""

    def __post_init__(self) -> None:
        """Refuses a pattern that nobody knows, and a list of none.

        Raises:
            ValueError: naming it and the choices.
        """
        known = list(dict.fromkeys(pattern.name for pattern in (*PII, *SECRETS)))
        if odd := [name for name in self.patterns if name not in known]:
            raise ValueError(f"unknown pattern {odd[0]!r}, expected one of {', '.join(known)}")
        if taken := [own.name for own in self.extra if own.name in known]:
            raise ValueError(f"extra has a pattern {taken[0]!r}, expected a name of your own")
        if not self.patterns and not self.extra:
            raise ValueError("patterns must name one at least, got []")


@dataclass(frozen=True)
class DropDuplicates:
    """Leaves out repeated rows, whatever their letter case, spaces and Unicode variants."""

    by: By = "row"
    """What makes two rows of one split the same. Between splits it is always the prompt: a train
    row with a prompt of eval or test is left out, and an eval row with one of test."""


@dataclass(frozen=True)
class DropNearDuplicates:
    """Leaves out rows that nearly repeat another (MinHash); between splits, the train row."""

    threshold: float = 0.8
    """Least similarity of two near copies, in [0.5, 1]: the share of 5-character pieces that they
    have in common."""
    by: By = "prompt"
    """What is compared, within a split and between splits."""

    def __post_init__(self) -> None:
        """Refuses a threshold out of its range.

        Raises:
            ValueError: naming it.
        """
        if not 0.5 <= self.threshold <= 1:
            raise ValueError(f"threshold must be in [0.5, 1], got {self.threshold}")


@dataclass(frozen=True)
class DropTooLong:
    """Leaves out rows that are too long; of a preference, the longer answer counts."""

    tokens: int = 0
    """Most tokens, all texts of a row together, without what a chat template adds."""
    characters: int = 0
    """Most characters, instead of `tokens`."""
    tokenizer: str = ""
    """What counts the tokens, a ``tokenizer.json``: its name among the data's own files inside
    `folder`, or ``file:PATH`` below the workspace."""

    def __post_init__(self) -> None:
        """Refuses anything but one limit, with the tokenizer that it needs.

        Raises:
            ValueError: naming the field and its value.
        """
        _one_limit(self.tokens, self.characters, self.tokenizer)


@dataclass(frozen=True)
class Truncate:
    """Shortens rows that are too long, never an answer.

    Of a conversation the oldest questions and answers go first, then the end of the question;
    a row whose answer leaves no room for one is left out. Plain text is cut at its end.
    """

    tokens: int = 0
    """Most tokens, all texts of a row together, without what a chat template adds."""
    characters: int = 0
    """Most characters, instead of `tokens`."""
    tokenizer: str = ""
    """What counts the tokens, a ``tokenizer.json``: its name among the data's own files inside
    `folder`, or ``file:PATH`` below the workspace."""

    def __post_init__(self) -> None:
        """Refuses anything but one limit, with the tokenizer that it needs.

        Raises:
            ValueError: naming the field and its value.
        """
        _one_limit(self.tokens, self.characters, self.tokenizer)


@dataclass(frozen=True)
class Cap:
    """Keeps at most so many rows of each label, chosen by a hash of their ids."""

    per_label: int = 0
    """Most rows of one label in one split, above 0; rows without a label all stay."""
    splits: tuple[SplitName, ...] = ("train",)
    """The splits that are capped, each by itself."""
    seed: int = 0
    """Another seed keeps other rows."""

    def __post_init__(self) -> None:
        """Refuses a cap that keeps nothing.

        Raises:
            ValueError: naming the field and its value.
        """
        if self.per_label < 1:
            raise ValueError(f"per_label must be 1 or more, got {self.per_label}")
        _some(self.splits)


@dataclass(frozen=True)
class Balance:
    """Keeps of each label at most a multiple of the rarest label's rows, chosen as by `Cap`."""

    ratio: float = 1.0
    """Rows of a label over those of its split's rarest label, at most; 1 or more."""
    splits: tuple[SplitName, ...] = ("train",)
    """The splits that are balanced, each by itself."""
    seed: int = 0
    """Another seed keeps other rows."""

    def __post_init__(self) -> None:
        """Refuses a ratio that no data can have.

        Raises:
            ValueError: naming the field and its value.
        """
        if self.ratio < 1:
            raise ValueError(f"ratio must be 1 or more, got {self.ratio}")
        _some(self.splits)


StepSettings = (
    NormaliseUnicode
    | StripControl
    | RedactPii
    | DropDuplicates
    | DropNearDuplicates
    | DropTooLong
    | Truncate
    | Cap
    | Balance
)

STEPS: Final[dict[str, type[StepSettings]]] = {
    "normalise_unicode": NormaliseUnicode,
    "strip_control": StripControl,
    "redact_pii": RedactPii,
    "drop_duplicates": DropDuplicates,
    "drop_near_duplicates": DropNearDuplicates,
    "drop_too_long": DropTooLong,
    "truncate": Truncate,
    "cap": Cap,
    "balance": Balance,
}
"""Each step by its name in `IngestSettings.clean`."""


def name_of(step: StepSettings) -> str:
    """Gives a step's name in the settings."""
    return next(name for name, kind in STEPS.items() if kind is type(step))


def _some(splits: tuple[SplitName, ...]) -> None:
    if not splits:
        raise ValueError("splits must name a split at least, got []")


def _one_limit(tokens: int, characters: int, tokenizer: str) -> None:
    if min(tokens, characters) < 0 or (tokens > 0) == (characters > 0):
        raise ValueError(
            "expected one of tokens and characters, above 0, "
            f"got tokens {tokens} and characters {characters}"
        )
    if bool(tokens) != bool(tokenizer):
        raise ValueError(
            "tokens and tokenizer go together: name the tokenizer.json that counts them, "
            f"got {tokenizer!r}"
        )
