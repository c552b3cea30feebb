"""Turns what a sample shows into rules, each with the limit that it proposes and why."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wherry.contracts.validation import Severity
from wherry.validate.fitted.observed import CHARACTERS, LENGTHS, Observed, Spread

_ROWS: Final = "expect_table_row_count_to_be_between"
_NOT_NULL: Final = "expect_column_values_to_not_be_null"
_IN_SET: Final = "expect_column_values_to_be_in_set"
_BETWEEN: Final = "expect_column_values_to_be_between"
_QUANTILES: Final = "expect_column_quantile_values_to_be_between"
_UNIQUE: Final = "expect_column_values_to_be_unique"
_MINIMUM: Final = "expect_column_min_to_be_between"
_DISTINCT: Final = "expect_column_unique_value_count_to_be_between"

KEPT_ROWS: Final = 0.8
"""The share of today's rows that tomorrow's data must have at least."""
_MARGIN: Final = 1.25
"""How much more than the longest row of today a row may have."""
_USUAL_LANGUAGE: Final = 0.05
"""A language of a smaller share of rows is not asked for: short texts are often misread."""
_UNDETERMINED: Final = "und"
"""The language of a text that shows none, such as a number."""
_AGES: Final = (7, 14, 30, 60, 90, 180, 365, 730, 1825, 3650)
"""Limits of age that people think in, in days."""


@dataclass(frozen=True)
class Proposal:
    """One rule of the suite to be."""

    section: str
    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    notes: str
    """Why to ask for it; it stands in the suite and in the report."""
    seen: str
    """What the sample showed; a comment in the suite."""
    broken: int = field(default=0)
    """Rows that break the rule today, of the sample."""


def proposals(seen: Observed) -> tuple[Proposal, ...]:
    """Gives the rules for data like this sample, in the order of the suite.

    What today's data breaks stays asked for: as critical where a model would learn what it must
    never say, or a score would lie; as a warning where a team may live with it for a while.
    """
    return (
        *_row_counts(seen),
        *_nothing_missing(seen),
        *_forms(seen),
        *_lengths(seen),
        *_answers(seen),
        *_duplicates(seen),
        *_overlap(seen),
        *_labels(seen),
        *_language(seen),
        *_privacy(seen),
        *_attacks(seen),
        *_freshness(seen),
    )


def _row_counts(seen: Observed) -> Iterator[Proposal]:
    section = "Enough rows."
    least = _round_down(KEPT_ROWS * seen.rows)
    size = f"{seen.rows:,} rows" if seen.whole else f"at least {seen.rows:,} rows"
    yield Proposal(
        section, _ROWS, {"min_value": least}, "critical",
        "An empty or cut file must not train a model.",
        f"There were {size}; {100 * KEPT_ROWS:.0f}% of that, rounded down, is the least.",
    )  # fmt: skip
    for split, rows in seen.splits.items() if len(seen.splits) > 1 else ():
        condition = {"row_condition": f"split == {json.dumps(split)}", "condition_parser": "pandas"}
        yield Proposal(
            section, _ROWS, {"min_value": _round_down(KEPT_ROWS * rows), **condition}, "critical",
            f"The {split} split has a minimum of its own.", f"It had {rows:,} rows.",
        )  # fmt: skip


def _nothing_missing(seen: Observed) -> Iterator[Proposal]:
    why = {
        "prompt": "A question without a text.",
        "completion": "An answer without a text teaches the model to say nothing.",
        "label": "Without its label a row has no score.",
        "group": "Without its group nobody can tell that a row leaked between splits.",
    }
    for column, notes in why.items():
        missing = seen.nulls.get(column, seen.rows)
        # A column that hardly any row fills is one that this data does not use.
        if 2 * missing < seen.rows:
            severity = _strict(missing)
            yield Proposal(
                "Nothing missing.", _NOT_NULL, {"column": column}, severity, notes,
                _found(missing, "had none", "Every row had one."), missing,
            )  # fmt: skip
    yield Proposal(
        "Nothing missing.", _UNIQUE, {"column": "id"}, _strict(seen.repeated_ids),
        "A row that is there twice counts twice.",
        _found(seen.repeated_ids, "repeated the id of another", "No id came twice."),
        seen.repeated_ids,
    )  # fmt: skip


def _forms(seen: Observed) -> Iterator[Proposal]:
    section = "Roles and readable text."
    yield from _virtue(
        seen, section, "roles_in_order",
        "Turns alternate and end with an answer, as the chat template of serving has them.",
    )  # fmt: skip
    yield from _flag(
        seen, section, "garbled",
        "Control characters, or the mark of a failed decoding: text in a wrong encoding.",
    )  # fmt: skip


def _lengths(seen: Observed) -> Iterator[Proposal]:
    why = {
        "prompt_tokens": "Tuning would cut a longer row, and lose its answer.",
        "completion_tokens": "A model learns to answer as long as this.",
        "rejected_tokens": "The worse answer must fit too.",
        "prompt_characters": "A longer question may be cut; give --tokenizer to count tokens.",
        "completion_characters": "A longer answer may be cut; give --tokenizer to count tokens.",
    }
    for column in (*LENGTHS, *CHARACTERS):
        if column in seen.spreads:
            spread = seen.spreads[column]
            severity: Severity = "critical" if column in LENGTHS else "warning"
            limits = {"min_value": min(1, int(spread.least)), "max_value": _longest(spread)}
            yield Proposal(
                "Lengths.", _BETWEEN, {"column": column, **limits}, severity, why[column],
                f"There were {spread.least:,.0f} to {spread.most:,.0f}, in 99% of rows at most "
                f"{spread.p99:,.0f}; the limit leaves a quarter above the longest.",
            )  # fmt: skip
            yield _median(column, spread)


def _median(column: str, spread: Spread) -> Proposal:
    low, high = math.floor(spread.median / 2), max(1, math.ceil(2 * spread.median))
    ranges = {"quantiles": [0.5], "value_ranges": [[low, high]]}
    return Proposal(
        "Lengths.", _QUANTILES, {"column": column, "quantile_ranges": ranges}, "warning",
        "Another source or another wording shows in the median first.",
        f"The median was {spread.median:,.0f}; half to twice of it is usual.",
    )  # fmt: skip


def _answers(seen: Observed) -> Iterator[Proposal]:
    section = "Answers."
    yield from _flag(
        seen, section, "completion_empty", "An answer without a text teaches the model silence."
    )
    if spread := seen.spreads.get("repetition"):
        most = min(1.0, max(0.5, math.ceil(20 * spread.most) / 20))
        yield Proposal(
            section, _BETWEEN, {"column": "repetition", "max_value": most}, "warning",
            "The share of an answer that repeats itself: a loop nears 1, prose stays below 0.1.",
            f"The highest was {spread.most:.2f}, in 99% of rows at most {spread.p99:.2f}.",
        )  # fmt: skip
    if (spread := seen.spreads.get("completion_count")) and not seen.labelled:
        yield Proposal(
            section, _BETWEEN,
            {"column": "completion_count", "max_value": _longest(spread)}, "warning",
            "How many rows of a split have this very answer: a stock phrase is learned by heart.",
            f"The most frequent answer stood in {spread.most:,.0f} rows of its split.",
        )  # fmt: skip


def _duplicates(seen: Observed) -> Iterator[Proposal]:
    why = {
        "duplicate": "A question asked twice in a split counts twice.",
        "contradicted": "One question with two answers cannot be learned.",
        "near_duplicate": "Near copies count almost twice; ingest can drop them.",
    }
    for column, notes in why.items():
        yield from _flag(seen, "Duplicates.", column, notes)


def _overlap(seen: Observed) -> Iterator[Proposal]:
    why = {
        "prompt_in_other_split": "A question that was trained on is no test.",
        "group_in_other_split": "Rows of one group belong to one split.",
        "near_in_other_split": "A near copy of a training row is hardly a test.",
    }
    for column, notes in why.items():
        # A near copy is a guess: where there are some today, a person looks first.
        sure = not column.startswith("near")
        yield from _flag(seen, "Overlap between splits.", column, notes, always_critical=sure)


def _labels(seen: Observed) -> Iterator[Proposal]:
    section = "Labels."
    if not seen.labelled:
        return
    if seen.labels:
        yield Proposal(
            section, _IN_SET, {"column": "label", "value_set": list(seen.labels)}, "critical",
            "A misspelt label is a class of its own.",
            f"These were all {seen.label_count:,}; add one here before the data has it.",
        )  # fmt: skip
    else:
        yield _label_count(seen)
    yield from _virtue(
        seen, section, "label_known", "A label that no training row has cannot be learned."
    )
    if 2 * seen.flagged.get("label_answered", 0) < seen.rows:
        yield from _virtue(
            seen, section, "label_answered",
            "The label is scored, the answer is learned: they must be the same word.",
        )  # fmt: skip
    if spread := seen.spreads.get("label_balance"):
        yield _balance(spread)


def _label_count(seen: Observed) -> Proposal:
    hidden = f"{seen.private_labels:,} of them look like personal data or like no name at all: "
    why = f"{hidden}look at them" if seen.private_labels else "Too many to list"
    limits = {"min_value": 1, "max_value": math.ceil(_MARGIN * seen.label_count)}
    return Proposal(
        "Labels.", _DISTINCT, {"column": "label", **limits}, "warning",
        "A misspelt label is a class of its own.",
        f"There were {seen.label_count:,} labels. {why}; only their number is asked for.",
    )  # fmt: skip


def _balance(spread: Spread) -> Proposal:
    limits = {
        "min_value": min(0.5, math.floor(10 * spread.least / _MARGIN) / 10),
        "max_value": max(2.0, math.ceil(10 * spread.most * _MARGIN) / 10),
    }
    return Proposal(
        "Labels.", _BETWEEN, {"column": "label_balance", **limits}, "warning",
        "Rows of a label over the mean of its split; 1 is balanced.",
        f"There were {spread.least:.2f} to {spread.most:.2f}.",
    )  # fmt: skip


def _language(seen: Observed) -> Iterator[Proposal]:
    known = sum(seen.languages.values())
    usual = [
        name
        for name, rows in seen.languages.items()
        if rows >= _USUAL_LANGUAGE * known or name == _UNDETERMINED
    ]
    if usual:
        share = sum(seen.languages[name] for name in usual) / known
        told = ", ".join(f"{name} {_percent(seen.languages[name] / known)}" for name in usual)
        yield Proposal(
            "Languages.", _IN_SET,
            {"column": "language", "value_set": usual, "mostly": _below(share)}, "warning",
            "Rows in a language that the model is not to learn.",
            f"Read from the texts: {told}. Short texts are often misread: look before you tighten.",
        )  # fmt: skip


def _privacy(seen: Observed) -> Iterator[Proposal]:
    why = {
        "pii_email": "E-mail addresses. A model may repeat what it learned, word for word.",
        "pii_phone": "Telephone numbers, beside a word that says so.",
        "pii_card": "Card numbers that pass Luhn's check.",
        "pii_iban": "Bank accounts (IBAN) with a valid check.",
        "pii_ssn": "US social security numbers.",
        "pii_ip": "IP addresses.",
        "pii_mrn": "Medical record numbers.",
        "secret": "Private keys, access tokens, passwords.",
    }
    section = (
        "Personal data and secrets. Redact what is found (ingest can), or make a rule a warning "
        "if your team has decided that the data may hold it."
    )
    for column, notes in why.items():
        yield from _flag(seen, section, column, notes, always_critical=True)


def _attacks(seen: Observed) -> Iterator[Proposal]:
    section = "Text that steers a model."
    yield from _flag(
        seen, section, "control_tokens",
        "Tokens of a chat template in a user's text: they end the turn and begin another.",
        always_critical=True,
    )  # fmt: skip
    yield from _flag(
        seen, section, "control_tokens_in_answers",
        "Tokens of a chat template in an answer: the model would learn to forge turns.",
        always_critical=True,
    )  # fmt: skip
    yield from _flag(
        seen, section, "injection", "Phrases such as those that ask a model to forget its orders.",
        always_warning=True,
    )  # fmt: skip


def _freshness(seen: Observed) -> Iterator[Proposal]:
    if spread := seen.spreads.get("age_days"):
        wanted = 2 * max(spread.least, 0.0)
        limit = next((days for days in _AGES if days >= wanted), math.ceil(wanted))
        yield Proposal(
            "Freshness.", _MINIMUM, {"column": "age_days", "min_value": -1, "max_value": limit},
            "warning",
            "Days since the newest row was written: data that stopped coming is old news, and a "
            "row of after tomorrow, which would hide that, has a wrong clock.",
            f"The newest row was {max(spread.least, 0.0):,.0f} days old, the oldest "
            f"{max(spread.most, 0.0):,.0f}.",
        )  # fmt: skip


def _flag(
    seen: Observed,
    section: str,
    column: str,
    notes: str,
    *,
    always_critical: bool = False,
    always_warning: bool = False,
) -> Iterator[Proposal]:
    if column in seen.flagged:
        broken = seen.flagged[column]
        severity: Severity = "critical" if always_critical else _strict(broken)
        yield Proposal(
            section, _IN_SET, {"column": column, "value_set": [False]},
            "warning" if always_warning else severity, notes,
            _found(broken, "broke this", "No row broke it."), broken,
        )  # fmt: skip


def _virtue(seen: Observed, section: str, column: str, notes: str) -> Iterator[Proposal]:
    if column in seen.flagged:
        broken = seen.flagged[column]
        yield Proposal(
            section, _IN_SET, {"column": column, "value_set": [True]}, _strict(broken), notes,
            _found(broken, "broke this", "Every row held it."), broken,
        )  # fmt: skip


def _strict(broken: int) -> Severity:
    """Asks critically for what holds today; what does not can only be told."""
    return "warning" if broken else "critical"


def _found(rows: int, verb: str, none: str) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'} {verb} today." if rows else none


def _round_down(value: float) -> int:
    """Gives two significant digits: a minimum of 2,016 rows would pretend to be a fact."""
    whole = max(1, math.floor(value))
    unit = int(10 ** max(0, len(str(whole)) - 2))
    return whole // unit * unit


def _longest(spread: Spread) -> int:
    return max(1, math.ceil(_MARGIN * spread.most))


def _below(share: float) -> float:
    """Gives a share of rows that leaves room for as many odd ones again, at least 2%."""
    return max(0.0, math.floor(100 * (1 - max(0.02, 2 * (1 - share)))) / 100)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.01 else "<1%"
