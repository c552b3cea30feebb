"""Settings of benchmarks, judge and safety that cannot be meant."""

import json

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.evaluate.benchmarks.settings import BenchmarkSettings
from wherry.evaluate.judge.settings import JudgeSettings
from wherry.evaluate.safety.settings import SafetySettings


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (SafetySettings, {"memorised_tokens": 4}, "memorised_tokens must be at least 8, got 4"),
        (SafetySettings, {"flagged_at": 1.0}, r"flagged_at must be in \(0, 1\), got 1.0"),
        (SafetySettings, {"control_split": "train"}, "control_split must be .* got 'train'"),
        (SafetySettings, {"asking": {"max_new_tokens": 0}}, "max_new_tokens must be at least 1"),
        (SafetySettings, {"asking": {"max_new_tokens": 90, "context": 90}}, "context must be"),
        (
            JudgeSettings,
            {"asking": {"max_new_tokens": 255, "endpoint": {"reasoning": True}}},
            "max_new_tokens must be at least 256 .*, got 255",
        ),
        (
            JudgeSettings,
            {"read": "labels", "asking": {"endpoint": {"reasoning": True}}},
            "read must be text",
        ),
        (
            SafetySettings,
            {"classifier": {"max_new_tokens": 900, "endpoint": {"reasoning": True}}},
            "classifier.endpoint.reasoning must be false",
        ),
        (JudgeSettings, {"read": "mind"}, "expected one of text, labels"),
        (JudgeSettings, {"resamples": 10}, "resamples must be at least 100, got 10"),
        (JudgeSettings, {"split": ""}, "split must name a split"),
        (BenchmarkSettings, {"tasks": []}, "tasks must name at least one task"),
        (BenchmarkSettings, {"tasks": ["a", "a"]}, "each task once, got a, a"),
        (BenchmarkSettings, {"shots": -2}, "shots must be at least -1, got -2"),
        (BenchmarkSettings, {"context": 1}, "context must be at least 2, got 1"),
        (BenchmarkSettings, {"limit": 1}, "limit"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(
    kind: type, values: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read_settings(kind, json.dumps(values))


@pytest.mark.parametrize("kind", [SafetySettings, JudgeSettings, BenchmarkSettings])
def test_no_settings_are_all_defaults(kind: type) -> None:
    assert read_settings(kind, "") == kind()
