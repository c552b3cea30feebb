"""Records travel as JSON and refuse what they do not know."""

import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts import Metric, Scores, read_settings
from wherry.contracts.errors import FormatError, SettingsError

DIGEST = "sha256:" + "a" * 64
SCORES = Scores(
    subject="base",
    model_digest=DIGEST,
    template_digest=DIGEST,
    data_digest=DIGEST,
    split="test",
    metrics=(Metric("accuracy", 0.5, 10, 0.2, 0.8), Metric("f1", 0.25, 4, slice="ear")),
)


def test_a_record_comes_back_as_it_went(tmp_path: Path) -> None:
    SCORES.write(tmp_path / "deep" / "scores.json")
    assert Scores.read(tmp_path / "deep" / "scores.json") == SCORES


def test_a_record_read_back_is_written_as_before() -> None:
    text = SCORES.to_json().replace('"engine": "",', "")
    assert Scores.from_json(text).to_json() == SCORES.to_json()


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.integers(0, 2**53))
def test_any_metric_comes_back_as_it_went(value: float, name: str, n: int) -> None:
    name = name.encode("utf-8", "replace").decode()
    scores = Scores("base", DIGEST, DIGEST, DIGEST, "test", (Metric(name, value, n),))
    assert Scores.from_json(scores.to_json()) == scores


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_no_number(value: float) -> None:
    scores = Scores("base", DIGEST, DIGEST, DIGEST, "test", (Metric("accuracy", value, 1),))
    assert Scores.from_json(scores.to_json()).metrics[0].value is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ("{}", "missing required field `subject`"),
        (SCORES.to_json().replace("wherry.scores/1", "wherry.scores/9"), "wherry.scores/9"),
        (SCORES.to_json().replace(DIGEST, "md5:1", 1), "regex"),
        (SCORES.to_json().replace('"n": 10', '"n": "10"'), "Expected `int`"),
        (SCORES.to_json().replace('"subject"', '"extra": 1, "subject"'), "unknown field 'extra'"),
    ],
)
def test_what_a_reader_does_not_know_is_refused(text: str, told: str) -> None:
    with pytest.raises(FormatError, match="no valid Scores") as refused:
        Scores.from_json(text)
    assert told in refused.value.message


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FormatError):
        Scores.from_json(b"\xff\xfe{}")


def test_records_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        SCORES.split = "train"  # type: ignore[misc]


def test_a_metric_is_found_by_name_and_slice() -> None:
    found = SCORES.find("f1", "ear")
    assert found is not None
    assert found.value == 0.25
    assert SCORES.find("f1") is None


def test_settings_name_the_field_and_the_choices() -> None:
    with pytest.raises(SettingsError, match=r"unknown field 'valeu', expected one of .*value"):
        read_settings(Metric, '{"valeu": 1}')


def test_settings_name_the_wrong_type() -> None:
    with pytest.raises(SettingsError, match=r"Expected `int`, got `str` - at `\$\.n`"):
        read_settings(Metric, {"name": "f1", "value": 1.0, "n": "many"})


def test_settings_that_are_no_object_are_refused() -> None:
    with pytest.raises(SettingsError, match="Expected `object`"):
        read_settings(Metric, "[1]")
