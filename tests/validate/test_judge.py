"""Cut in parts, Great Expectations says what it says of the whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fakes.feature_tables import table_from
from wherry.validate.features import Storage
from wherry.validate.settings import Rule
from wherry.validate.step import Outcome

pytestmark = [pytest.mark.local, pytest.mark.slow]

TYPES: dict[str, Storage] = {
    "flag": "bool",
    "tokens": "int",
    "turns": "int",
    "share": "float",
    "id": "hash",
    "label": "text",
    "roles": "text",
}
SOME = ["eye", "ear", "skin", "a b"]
ROWS = st.fixed_dictionaries(
    {
        "flag": st.booleans(),
        "tokens": st.integers(0, 6),
        "turns": st.none() | st.integers(0, 6),
        "share": st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.5]),
        "id": st.none() | st.sampled_from([2**62, 2**62 + 1, -5, 0]),
        "label": st.none() | st.sampled_from(SOME),
        "roles": st.sampled_from(["user assistant", "assistant"]),
    }
)
MOSTLY = (1, 0.75, 0.5)


def rule(name: str, **kwargs: Any) -> Rule:
    return Rule(f"expect_{name}", kwargs)


def rules(mostly: float, condition: str) -> list[Rule]:
    """At least one of each type that a suite may have."""
    each = {"mostly": mostly} if mostly < 1 else {}
    row_local = [
        rule("column_values_to_be_in_set", column="flag", value_set=[False], **each),
        rule("column_values_to_be_in_set", column="label", value_set=["eye", "ear"], **each),
        rule("column_values_to_not_be_in_set", column="tokens", value_set=[3, 4], **each),
        rule("column_values_to_be_between", column="tokens", min_value=1, max_value=4, **each),
        rule("column_values_to_be_between", column="turns", max_value=3, **each),
        rule(
            "column_values_to_be_between", column="share", min_value=0.25, strict_min=True, **each
        ),
        rule("column_values_to_be_between", column="id", min_value=0, **each),
        rule("column_values_to_not_be_null", column="label", **each),
        rule("column_values_to_not_be_null", column="id", **each),
        rule("column_values_to_be_null", column="share", **each),
        rule("column_value_lengths_to_be_between", column="label", max_value=3, **each),
        rule("column_value_lengths_to_equal", column="label", value=3, **each),
        rule("column_values_to_match_regex", column="label", regex="^e", **each),
        rule("column_values_to_not_match_regex", column="label", regex="y$", **each),
        rule("column_values_to_match_regex_list", column="label", regex_list=["e", "s"], **each),
        rule(
            "column_values_to_not_match_regex_list", column="label", regex_list=["z", "k"], **each
        ),
        rule("column_values_to_be_json_parseable", column="label", **each),
        rule("column_values_to_be_dateutil_parseable", column="label", **each),
        rule(
            "column_values_to_match_strftime_format", column="label", strftime_format="%Y", **each
        ),
    ]
    by_key = [
        rule("column_values_to_be_unique", column="id", **each),
        rule("column_values_to_be_unique", column="label", **each),
        rule("compound_columns_to_be_unique", column_list=["id", "label"], **each),
        rule("column_pair_values_to_be_equal", column_A="tokens", column_B="turns", **each),
        rule(
            "column_pair_values_a_to_be_greater_than_b",
            column_A="tokens",
            column_B="turns",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            **each,
        ),
        rule(
            "column_pair_values_to_be_in_set",
            column_A="label",
            column_B="roles",
            value_pairs_set=[["eye", "assistant"], ["ear", "assistant"]],
            ignore_row_if="both_values_are_missing",
            **each,
        ),
        rule("multicolumn_sum_to_equal", column_list=["tokens", "turns"], sum_total=4, **each),
        rule(
            "select_column_values_to_be_unique_within_record",
            column_list=["tokens", "turns"],
            ignore_row_if="any_value_is_missing",
            **each,
        ),
    ]
    on_the_whole = [
        rule("table_row_count_to_be_between", min_value=8),
        rule("table_row_count_to_equal", value=12),
        rule("column_unique_value_count_to_be_between", column="label", min_value=3),
        rule("column_distinct_values_to_be_in_set", column="label", value_set=["eye", "ear"]),
        rule("column_distinct_values_to_contain_set", column="label", value_set=["eye"]),
        rule("column_distinct_values_to_equal_set", column="tokens", value_set=[1, 2]),
        rule("column_max_to_be_between", column="tokens", max_value=4),
        rule("column_min_to_be_between", column="share", min_value=0.25),
        rule("column_mean_to_be_between", column="tokens", min_value=2, max_value=4),
        rule("column_mean_to_be_between", column="share", min_value=0.3),
        rule("column_median_to_be_between", column="turns", max_value=3),
        rule("column_stdev_to_be_between", column="tokens", max_value=2),
        rule("column_sum_to_be_between", column="tokens", min_value=10),
        rule("column_most_common_value_to_be_in_set", column="label", value_set=["eye", "ear"]),
        rule("column_proportion_of_unique_values_to_be_between", column="label", max_value=0.5),
        rule("column_proportion_of_non_null_values_to_be_between", column="label", min_value=0.8),
        rule(
            "column_quantile_values_to_be_between",
            column="tokens",
            quantile_ranges={"quantiles": [0.25, 0.75], "value_ranges": [[0, 3], [2, 5]]},
        ),
        rule("column_values_to_be_increasing", column="tokens", **each),
        rule("column_values_to_be_decreasing", column="tokens", **each),
        rule(
            "column_value_z_scores_to_be_less_than",
            column="tokens",
            threshold=1,
            double_sided=True,
            **each,
        ),
        rule("column_values_to_not_be_outliers", column="tokens", method="iqr", **each),
        rule("column_values_to_be_of_type", column="label", type_="str", **each),
        rule("column_values_to_be_of_type", column="tokens", type_="int64"),
        rule("column_values_to_be_in_type_list", column="share", type_list=["float64"]),
        rule(
            "column_kl_divergence_to_be_less_than",
            column="label",
            partition_object={"values": SOME, "weights": [0.25] * 4},
            threshold=0.3,
        ),
    ]
    where = {"row_condition": condition, "condition_parser": "pandas"} if condition else {}
    return [Rule(one.type, {**one.kwargs, **where}) for one in (*row_local, *by_key, *on_the_whole)]


def whole(data: Mapping[str, Sequence[Any]], asked: Sequence[Rule]) -> list[Any]:
    """What Great Expectations says of all rows in one frame."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kinds = {"hash": "Int64", "int": "Int64", "float": "float64", "text": object, "bool": bool}
    frame = pd.DataFrame(
        {
            name: pd.array(values, dtype="int64" if name == "tokens" else kinds[TYPES[name]])
            for name, values in data.items()
        }
    )
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("whole")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    configured = [
        ExpectationConfiguration(one.type, dict(one.kwargs), meta={"at": n})
        for n, one in enumerate(asked)
    ]
    suite = gx.ExpectationSuite(name="suite", expectations=configured)
    found = batch.validate(suite, result_format={"result_format": "COMPLETE"}).results
    return sorted(found, key=lambda one: one.expectation_config.meta["at"])


def in_parts(
    data: Mapping[str, Sequence[Any]], asked: Sequence[Rule], listed: int
) -> Sequence[Outcome]:
    from wherry.validate.adapters.gx import GreatExpectations

    with TemporaryDirectory() as folder:
        table = table_from(Path(folder), data, TYPES)
        judge = GreatExpectations(frame_rows=3)
        judge.lint(asked)
        return judge.judge(table, asked, listed)


def unseen(outcome: Outcome) -> bool:
    """Where Wherry fails what Great Expectations lets pass, for it has looked at nothing."""
    return any(word in outcome.fault for word in ("no row", "no value"))


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    st.lists(ROWS, min_size=1, max_size=25),
    st.sampled_from(MOSTLY),
    st.sampled_from(
        [
            "",
            "tokens > 2",
            'label == "eye" or label.isnull()',
            'label in ["eye", "skin"]',
            "not flag",
        ]
    ),
)
@example(
    [
        {
            "flag": True,
            "tokens": 1,
            "turns": None,
            "share": None,
            "id": None,
            "label": None,
            "roles": "assistant",
        }
    ],
    1,
    "",
)
def test_parts_give_the_verdict_and_counts_of_the_whole(
    rows: list[dict[str, Any]], mostly: float, condition: str
) -> None:
    data = {name: [row[name] for row in rows] for name in TYPES}
    asked = rules(mostly, condition)
    for outcome, reference in zip(in_parts(data, asked, 5), whole(data, asked), strict=True):
        told = (outcome.rule, outcome.fault)
        if unseen(outcome):
            assert not outcome.passed, told
            continue
        raised = "exception_message" in str(reference.exception_info) and any(
            part.get("raised_exception")
            for part in (reference.exception_info, *reference.exception_info.values())
            if isinstance(part, dict)
        )
        assert bool(outcome.fault) == raised, (told, reference.exception_info)
        if raised:
            assert not outcome.passed
            continue
        assert outcome.passed == bool(reference.success), told
        assert outcome.unexpected == (reference.result.get("unexpected_count") or 0), told
        bad = reference.result.get("unexpected_index_list") or []
        if not outcome.passed and bad:
            assert outcome.rows == tuple(("train", n + 1) for n in sorted(bad)[:5]), told


def test_every_type_that_great_expectations_has_is_tried_or_refused() -> None:
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    from wherry.contracts.errors import SettingsError
    from wherry.validate.adapters.gx import GreatExpectations

    tried = {one.type for one in rules(1, "")}
    there = set(list_registered_expectation_implementations())
    assert tried <= there
    for name in there - tried:
        if "like_pattern" in name or "json_schema" in name:
            continue  # pandas has no LIKE; a schema needs a text that is JSON
        with pytest.raises(SettingsError):
            GreatExpectations().lint([Rule(name, {"column": "tokens"})])
