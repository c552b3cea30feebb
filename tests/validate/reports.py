"""Reports on data with plausible values, as a page shows them."""

from dataclasses import replace

from tests.report.records import dataset as demo
from tests.report.records import digest, validation
from wherry.contracts.dataset import Cleaned, Dataset
from wherry.contracts.validation import (
    Change,
    Column,
    Expectation,
    Quarantined,
    ReasonCount,
    Since,
    ValidationReport,
)

IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"


def dataset() -> Dataset:
    """The demo's data after four cleaning steps."""
    cleaned = (
        Cleaned("normalise_unicode", 2611, changed=48),
        Cleaned("drop_duplicates", 2611, dropped=9),
        Cleaned("drop_near_duplicates", 2602, dropped=82, note="most like an earlier row: 82"),
        Cleaned("redact_pii", 2520),
    )
    return replace(demo(), cleaned=cleaned, set_aside=31)


def passed() -> ValidationReport:
    """Every check holds and nothing was set aside."""
    asked = tuple(replace(each, passed=True) for each in validation().expectations)
    return replace(
        validation(), expectations=asked, quarantined=(), source=demo().source, columns=_columns()
    )


def failed() -> ValidationReport:
    """Three critical checks and two warnings that failed, rows set aside, a former version."""
    asked = (
        _row_rule("pii_email", "critical", 14, "Nobody's address may be learned by a model."),
        _row_rule("duplicate", "critical", 61, "A question asked twice counts twice."),
        Expectation(
            BETWEEN, "prompt_tokens", "critical", False, "between 4 and 64",
            "37 of 2,520 rows broke it", 37, "Tuning would cut a longer row.",
            low=4, high=64, checked_rows=2520,
        ),
        Expectation(
            IN_SET, "language", "warning", False, "en, in 97% of rows",
            "121 of 2,520 rows broke it", 121, mostly=0.97, checked_rows=2520,
        ),
        Expectation(
            "expect_column_mean_to_be_between", "completion_tokens", "warning", False,
            "between 2 and 6", "7.4", low=2, high=6, figure=7.4,
        ),
        Expectation(
            "expect_table_row_count_to_be_between", "", "critical", True, "at least 1,000",
            "2,520", low=1000, figure=2520,
        ),
    )  # fmt: skip
    return replace(
        passed(),
        passed=False,
        expectations=(*asked, *passed().expectations[1:]),
        quarantined=tuple(_broken(n) for n in range(130)),
        set_aside=(
            ReasonCount("the line is no JSON object", 3),
            ReasonCount("messages must end with an assistant turn after at least one other", 28),
        ),
        since=_since(),
    )


def _row_rule(column: str, severity: str, rows: int, note: str) -> Expectation:
    observed = f"{rows} of 2,520 rows broke it"
    return Expectation(
        IN_SET, column, severity, False, "false", observed, rows, note, checked_rows=2520
    )  # type: ignore[arg-type] # the word of a literal


def _broken(number: int) -> Quarantined:
    reasons = ("duplicate: expected false", "pii_email: expected false")
    return Quarantined("train" if number % 4 else "test", 17 * number + 3, reasons[number % 7 == 0])


def _columns() -> tuple[Column, ...]:
    languages = [("train", (1801, 60, 29)), ("eval", (205, 3, 2)), ("test", (410, 8, 2))]
    return (
        *validation().columns,
        *(Column("language", split, ("en", "de", "fr"), counts) for split, counts in languages),
    )


def _since() -> Since:
    return Since(
        source=replace(demo().source, revision="1c0ffee07be35a8c6ea0c1f4d2b7709e5518aa3c"),
        dataset_digest=digest("accepted"),
        changes=(
            Change("rows", "2,301", "2,520"),
            Change("rows of train", "1,671", "1,890"),
            Change("rows set aside", "0", "31"),
            Change("label values", "20", "21; new: symptom"),
            Change("label", "symptom: 0%", "symptom: 6%", 0.06),
            Change("prompt_tokens", "median 20 to 29", "median 30 to 39", 0.31),
            Change("check: No duplicates", "held", "failed in 61 rows"),
        ),
    )
