"""What a suite asked of data and what it found, as chips and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wherry.contracts.validation import Expectation
from wherry.page.plots.bars import BarPlot, Part, bar_plot
from wherry.page.plots.bullet import Bullet, bullet, bullet_between
from wherry.page.view import Badge, State
from wherry.page.words import MISSING, clip, percent, sentence

_TITLES: Final = {
    "expect_column_values_to_not_be_null": "No missing values",
    "expect_column_values_to_be_unique": "No duplicates",
    "expect_column_values_to_not_be_in_set": "No forbidden values",
    "expect_column_values_to_be_in_set": "Only known values",
    "expect_column_distinct_values_to_be_in_set": "Only known values",
    "expect_column_distinct_values_to_equal_set": "All known values, no others",
    "expect_column_distinct_values_to_contain_set": "Every known value occurs",
    "expect_column_values_to_be_between": "Values in range",
    "expect_column_max_to_be_between": "Largest value in range",
    "expect_column_min_to_be_between": "Smallest value in range",
    "expect_column_mean_to_be_between": "Mean in range",
    "expect_column_value_lengths_to_be_between": "Lengths in range",
    "expect_column_kl_divergence_to_be_less_than": "Balanced",
    "expect_column_values_to_match_regex": "Of the expected form",
    "expect_column_values_to_not_match_regex": "Free of a forbidden form",
    "expect_column_quantile_values_to_be_between": "Spread as expected",
    "expect_column_unique_value_count_to_be_between": "Number of different values",
    "expect_table_row_count_to_be_between": "Enough rows",
    "expect_compound_columns_to_be_unique": "No duplicate rows",
}


_FEATURES: Final = {
    "age_days": "Fresh enough",
    "completion_count": "Answers not repeated",
    "completion_empty": "No empty answers",
    "completion_language": "Answers in a known language",
    "contradicted": "No contradictions",
    "control_tokens": "No control tokens",
    "control_tokens_in_answers": "No control tokens in answers",
    "duplicate": "No duplicates",
    "garbled": "Readable text",
    "group_in_other_split": "No group in two splits",
    "in_benchmark": "No benchmark text",
    "injection": "No prompt injection",
    "label_answered": "Answers name their label",
    "label_balance": "Balanced labels",
    "label_known": "Every label known",
    "language": "Known languages",
    "near_duplicate": "No near duplicates",
    "near_in_other_split": "No near copy in two splits",
    "pii": "No personal data",
    "pii_card": "No card numbers",
    "pii_email": "No e-mail addresses",
    "pii_iban": "No bank accounts",
    "pii_ip": "No IP addresses",
    "pii_mrn": "No medical record numbers",
    "pii_phone": "No phone numbers",
    "pii_ssn": "No social security numbers",
    "prompt_in_other_split": "No prompt in two splits",
    "rejected_is_completion": "The worse answer differs",
    "repetition": "Little repetition",
    "roles": "Roles as expected",
    "roles_in_order": "Roles in order",
    "secret": "No keys or passwords",
}
"""What a check on a feature of the rows asks for, whatever its expectation is called."""
_EXPECTED_COLUMNS: Final = 90
"""A longer list of allowed values is clipped; the whole stays in its tooltip."""
_MOST_BARS: Final = 12
_NOTHING: Final = "nothing"
"""What a check observed that could not be made; its note has the reason."""


@dataclass(frozen=True)
class Asked:
    """One expectation as a table row."""

    title: str
    type: str
    column: str
    expected: str
    expected_whole: str
    observed: str
    severity: str
    result: Badge
    note: str
    bullet: Bullet | None
    """None where no single number was held against limits."""


@dataclass(frozen=True)
class Chip:
    """All checks of one title and one result, in a few words."""

    title: str
    columns: str
    """The columns that were checked, where the title does not say it."""
    times: int
    state: State


@dataclass(frozen=True)
class Checks:
    """All that a suite asked."""

    all_passed: bool
    """Whether the table may stay folded."""
    chips: tuple[Chip, ...]
    asked: tuple[Asked, ...]
    """What failed first, the gravest of it at the top."""

    @property
    def failed(self) -> tuple[Asked, ...]:
        """Those that do not hold."""
        return tuple(each for each in self.asked if each.result.state != "good")

    @property
    def held(self) -> tuple[Asked, ...]:
        """Those that hold."""
        return tuple(each for each in self.asked if each.result.state == "good")


def checks_of(expectations: Sequence[Expectation]) -> Checks:
    """Gives all checks in the order in which a person wants them."""
    asked = tuple(_asked(each) for each in sorted(expectations, key=_rank))
    return Checks(all(each.passed for each in expectations), _chips(asked), asked)


def broken_plot(expectations: Sequence[Expectation]) -> BarPlot | None:
    """Gives how many rows broke each check, the most at the top; None if no row did."""
    failed = [each for each in expectations if not each.passed and each.unexpected_count]
    if not failed:
        return None
    ordered = sorted(failed, key=lambda each: -each.unexpected_count)
    return bar_plot(
        "broken",
        "Rows that broke a check",
        f"{ordered[0].unexpected_count:,} at most; one row may break several.",
        [_bar(each) for each in ordered[:_MOST_BARS]],
        row_height=24,
        label_columns=26,
    )


def title_of(expectation: Expectation) -> str:
    """Gives what a check asks for in a few words, without its column."""
    plain = sentence(expectation.type.removeprefix("expect_").replace("_", " "))
    whole = not expectation.type.endswith("_null") and _FEATURES.get(expectation.column)
    return whole or _TITLES.get(expectation.type) or plain


def reason_of(expectation: Expectation) -> str:
    """Gives why a check failed, in a sentence."""
    if expectation.observed == _NOTHING and expectation.note:
        return f"{named(expectation)}: {expectation.note}"
    told = f"{named(expectation)}: {expectation.observed or MISSING}"
    # "Expected: false" says nothing beside "No duplicates".
    plain = expectation.expected in ("", "true", "false")
    asked = clip(expectation.expected, _EXPECTED_COLUMNS)
    return f"{told}." if plain else f"{told}; expected {asked}."


def named(expectation: Expectation) -> str:
    """Gives what a check asks for, with its column where the words do not say it."""
    column = "" if expectation.column in _FEATURES else expectation.column
    return f"{title_of(expectation)}: {column}" if column else title_of(expectation)


def _bar(expectation: Expectation) -> tuple[str, list[Part], str]:
    count, of = expectation.unexpected_count, expectation.checked_rows
    share = f" ({percent(count / of)})" if of else ""
    part = Part(_result(expectation).state, count, f"{named(expectation)}: {count:,}{share}")
    return named(expectation), [part], f"{count:,}"


def _rank(expectation: Expectation) -> int:
    return 3 if expectation.passed else ("critical", "warning", "info").index(expectation.severity)


def _asked(expectation: Expectation) -> Asked:
    return Asked(
        title=title_of(expectation),
        type=expectation.type,
        column=expectation.column,
        expected=clip(expectation.expected, _EXPECTED_COLUMNS) or MISSING,
        expected_whole=expectation.expected,
        observed=expectation.observed or MISSING,
        severity=expectation.severity,
        result=_result(expectation),
        note=expectation.note,
        bullet=_bullet(expectation),
    )


def _bullet(expectation: Expectation) -> Bullet | None:
    low, high = expectation.low, expectation.high
    if expectation.figure is not None and not (low is None and high is None):
        return bullet_between(expectation.figure, low, high)
    if expectation.checked_rows and expectation.mostly < 1:
        broken = expectation.unexpected_count / expectation.checked_rows
        return bullet(broken, 1 - expectation.mostly, at_least=False)
    return None


def _chips(asked: Sequence[Asked]) -> tuple[Chip, ...]:
    groups: dict[tuple[str, State], list[Asked]] = {}
    for each in asked:
        groups.setdefault((each.title, each.result.state), []).append(each)
    return tuple(
        Chip(title, _columns(group), len(group), state) for (title, state), group in groups.items()
    )


def _columns(group: Sequence[Asked]) -> str:
    names = dict.fromkeys(each.column for each in group if each.column not in _FEATURES)
    return ", ".join(name for name in names if name)


def _result(expectation: Expectation) -> Badge:
    if expectation.passed:
        return Badge("good", "Passed")
    if expectation.severity == "critical":
        return Badge("bad", "Failed")
    return Badge("warn", "Warned") if expectation.severity == "warning" else Badge("none", "Noted")
