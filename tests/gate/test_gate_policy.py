"""A policy that cannot be meant is refused, by the name of its field."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from wherry.contracts import read_settings
from wherry.contracts.errors import EXIT_USAGE, SettingsError
from wherry.gate.settings import Policy, metric_of
from wherry.gate.step import policy_digest


def read(**fields: Any) -> Policy:
    return read_settings(Policy, {"floors": {"accuracy": 0.6}, **fields})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"floors": {}}, "floors must name at least one metric"),
        ({"floors": {"accuracy": 1.4}}, r"floors.accuracy must be in \(0, 1\], got 1.4"),
        ({"floors": {"accuracy": 0}}, r"floors.accuracy must be in \(0, 1\], got 0"),
        ({"floors": {"accuracy": -0.1}}, "floors.accuracy"),
        ({"floors": {"f1/cancer": 60}}, "floors.f1/cancer"),
        ({"floors": {"accuracy": float("nan")}}, "floors.accuracy.*got nan"),
        ({"floors": {"accuracy": True}}, "floors"),
        ({"floors": {"accuracy": "60%"}}, "floors"),
        ({"floors": {"size": 3}}, "floors.size asks for a cost to be high"),
        ({"ceilings": {"accuracy": 0.9}}, "ceilings.accuracy asks for quality to be low"),
        ({"ceilings": {"size": float("inf")}}, r"ceilings.size must be in \(0, ∞\), got inf"),
        ({"ceilings": {"size": 0}}, "ceilings.size"),
        ({"champion": {"accuracy": -0.01}}, r"champion.accuracy must be in \[0, 1\]"),
        ({"champion": {"perplexity": 1.0}}, "champion.perplexity: whether more is better"),
        ({"quantization": {"accuracy": 2}}, "quantization.accuracy"),
        ({"floors": {"Accuracy!": 0.5}}, "floors.Accuracy! is no metric"),
        ({"floors": {"f1/": 0.5}}, "floors.f1/ is no metric"),
        ({"use": "high"}, "use"),
        ({"champion_on_other_data": "ignore"}, "champion_on_other_data"),
        ({"min_rows": 1}, "min_rows must be at least 2, got 1"),
        ({"roofs": {"accuracy": 0.6}}, "unknown field 'roofs'"),
    ],
)
def test_a_bad_policy_names_its_field(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        read(**fields)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("raw", ["", "{}", "[]", "null", '{"ceilings": {"size": 1000}}', "no json"])
def test_an_empty_policy_is_refused(raw: str) -> None:
    with pytest.raises(SettingsError):
        read_settings(Policy, raw)


def test_a_rule_can_name_one_class() -> None:
    assert metric_of("f1/cancer") == ("f1", "cancer")
    assert metric_of("f1/ear/nose") == ("f1", "ear/nose")
    assert metric_of("accuracy") == ("accuracy", "")


def test_a_policys_digest_follows_its_meaning() -> None:
    one = read_settings(Policy, '{"floors": {"accuracy": 0.6, "f1/ear": 0.5}, "use": "value"}')
    same = read_settings(Policy, '{"floors": {"f1/ear": 0.50, "accuracy": 0.6}}')
    other = read_settings(Policy, '{"floors": {"f1/ear": 0.5, "accuracy": 0.61}}')
    assert policy_digest(one) == policy_digest(same) != policy_digest(other)


def test_the_demos_policy_is_valid() -> None:
    raw = yaml.safe_load(Path("pipelines/settings/gate.yaml").read_text(encoding="utf-8"))
    policy = read_settings(Policy, json.dumps(raw))
    assert {"accuracy", "macro_f1"} <= policy.floors.keys()
    assert {"size", "peak_memory", "first_token"} <= policy.ceilings.keys()
    assert policy.champion_on_other_data == "fail"
