"""A policy that cannot be meant is refused, by the name of its field."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError, validate

from wherry.contracts import read_settings
from wherry.contracts.errors import EXIT_USAGE, SettingsError
from wherry.gate.schema import SCHEMA_FILE, schema
from wherry.gate.settings import Policy, metric_of, rule_names
from wherry.gate.step import policy_digest
from wherry.gate.words import explain

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
GOLDEN = Path(__file__).parent / "goldens" / "explained.txt"


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
        ({"champion": {"refusal_rate": 0.1}}, "refusal_rate: whether more of it is better"),
        ({"quantization": {"accuracy": 2}}, "quantization.accuracy"),
        ({"floors": {"Accuracy!": 0.5}}, "floors.Accuracy! is no metric"),
        ({"floors": {"f1/": 0.5}}, "floors.f1/ is no metric"),
        ({"use": "high"}, "use"),
        ({"champion_on_other_data": "ignore"}, "champion_on_other_data"),
        ({"min_rows": 1}, "min_rows must be at least 2, got 1"),
        ({"roofs": {"accuracy": 0.6}}, "unknown field 'roofs'"),
        ({"any_of": []}, "any_of has no group of rules"),
        ({"all_of": []}, "all_of has no group of rules"),
        ({"any_of": [{}]}, "a group of rules asks for nothing"),
        ({"any_of": [{"all_of": []}]}, "all_of has no group of rules"),
        ({"any_of": [{"all_of": [{"floors": {}}]}]}, "a group of rules asks for nothing"),
        ({"any_of": [{"roofs": {}}]}, "unknown field 'roofs'"),
        ({"any_of": [{"floors": {"accuracy": 2}}]}, r"floors.accuracy must be in \(0, 1\], got 2"),
        ({"all_of": {"floors": {"accuracy": 0.5}}}, "all_of"),
        ({"any_of": [{"use": "low"}]}, "unknown field 'use'"),
        ({"every": {"f1/cancer": 0.5}}, "every.f1/cancer is one slice"),
        ({"every": {"f1": 0}}, r"every.f1 must be in \(0, 1\], got 0"),
        ({"every": {"size": 3}}, "every.size asks for a cost to be high"),
        ({"floors": {"perplexity": 3}}, "floors.perplexity asks for a cost to be high"),
        ({"floors": {"jailbreak_rate": 0.1}}, "floors.jailbreak_rate asks for a cost to be high"),
        ({"ceilings": {"jailbreak_rate": 1.1}}, r"ceilings.jailbreak_rate must be in \[0, 1\]"),
        ({"ceilings": {"hellaswag_acc": 0.5}}, "ceilings.hellaswag_acc asks for quality to be low"),
        ({"quantization": {"refusal_rate": 0.1}}, "whether more of it is better, nobody can say"),
        ({"significance": "some"}, "significance"),
        ({"significance": "better"}, "significance 'better' needs a rule on the champion"),
        ({"min_slice_rows": 0}, "min_slice_rows must be at least 1, got 0"),
        ({"max_data_age_days": 0}, "max_data_age_days must be in"),
        ({"max_data_age_days": float("nan")}, "max_data_age_days must be in .* got nan"),
        ({"required_approvals": [" "]}, "required_approvals must be different roles, got ' '"),
        ({"required_approvals": ["safety", "safety"]}, "must be different roles, got 'safety'"),
        ({"required_approvals": ["Safety", "safety"]}, "must be different roles, got 'Safety'"),
        ({"required_approvals": ["safety "]}, "required_approvals must be plain words"),
        ({"required_approvals": ["a\nb"]}, "required_approvals must be plain words"),
        ({"waivers": [{"rule": "floors.accuracy"}]}, "waivers"),
    ],
)
def test_a_bad_policy_names_its_field(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        read(**fields)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    "fields",
    [
        {"floors": {}, "all_of": [{"ceilings": {"size": 3}}]},
        {"floors": {}, "any_of": [{"floors": {"accuracy": 0.5}}, {"ceilings": {"size": 3}}]},
        {"floors": {}, "any_of": [{"champion": {"accuracy": 0.5}}]},
    ],
)
def test_an_alternative_that_asks_for_no_quality_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="floors must name at least one metric"):
        read(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"floors": {"decode_speed": 20}},
        {"floors": {"refusal_rate": 0.1}},
        {"every": {"decode_speed": 20}},
        {"floors": {"decode_speed": 20}, "ceilings": {"jailbreak_rate": 0.02, "size": 3}},
        {"ceilings": {"unheard_of": 3}},
        {"any_of": [{"floors": {"decode_speed": 20}}, {"floors": {"accuracy": 0.5}}]},
    ],
)
def test_to_be_quick_small_or_harmless_is_no_quality(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="floors must name at least one metric of quality"):
        read(**{"floors": {}, **fields})


@pytest.mark.parametrize("metric", ["perplexity", "byte_perplexity", "wikitext_bits_per_byte"])
def test_plain_text_is_judged_by_a_ceiling_alone(metric: str) -> None:
    assert list(rule_names(read(floors={}, ceilings={metric: 20}))) == [f"ceilings.{metric}"]


def test_quality_may_be_asked_for_in_groups_alone() -> None:
    floor = {"floors": {"accuracy": 0.5}}
    both = read(floors={}, all_of=[floor, {"ceilings": {"size": 3}}])
    assert list(rule_names(both)) == ["all_of[0].floors.accuracy", "all_of[1].ceilings.size"]
    either = read(floors={}, any_of=[floor, {"every": {"f1": 0.5}}])
    assert list(rule_names(either)) == ["any_of[0].floors.accuracy", "any_of[1].every.f1"]


def test_rules_are_named_by_where_they_stand() -> None:
    policy = read(
        every={"f1": 0.5},
        any_of=[{"floors": {"f1/ear": 0.5}}, {"all_of": [{"ceilings": {"size": 3}}]}],
        max_data_age_days=90,
    )
    assert list(rule_names(policy)) == [
        "floors.accuracy",
        "every.f1",
        "any_of[0].floors.f1/ear",
        "any_of[1].all_of[0].ceilings.size",
        "max_data_age_days",
    ]


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


def test_a_digest_follows_nested_rules_and_not_what_is_left_out() -> None:
    groups = [{"floors": {"f1": 0.5}}]
    plain, nested = read(), read(any_of=groups)
    assert policy_digest(plain) != policy_digest(nested)
    assert policy_digest(nested) == policy_digest(read(any_of=[{**groups[0], "ceilings": {}}]))
    assert policy_digest(plain) == policy_digest(
        read(significance="none", max_data_age_days=None, required_approvals=[])
    )
    assert policy_digest(plain) != policy_digest(read(required_approvals=["safety"]))


def test_the_demos_policy_is_valid() -> None:
    raw = yaml.safe_load(Path("pipelines/settings/gate.yaml").read_text(encoding="utf-8"))
    validate(raw, SCHEMA)
    policy = read_settings(Policy, json.dumps(raw))
    assert {"accuracy", "macro_f1"} <= policy.floors.keys()
    assert {"size", "peak_memory", "first_token"} <= policy.ceilings.keys()
    assert policy.champion_on_other_data == "fail"


def test_the_shipped_schema_is_what_the_dataclasses_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-goldens"):
        SCHEMA_FILE.write_text(schema(), encoding="utf-8")
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema()
    for kind in ("Policy", "Rules", "Waiver"):
        fields = SCHEMA["$defs"][kind]["properties"]
        assert all(field.get("description") or name == "schema" for name, field in fields.items())


@pytest.mark.parametrize(
    "raw",
    [
        {"floors": {"accuracy": "60%"}},
        {"floors": {"accuracy": 0.6}, "roofs": {}},
        {"floors": {"accuracy": 0.6}, "any_of": []},
        {"floors": {"accuracy": 0.6}, "any_of": [{"roofs": {}}]},
        {"floors": {"accuracy": 0.6}, "use": "high"},
        {"floors": {"accuracy": 0.6}, "waivers": [{"rule": "floors.accuracy"}]},
    ],
)
def test_an_editor_finds_by_the_schema_what_the_reader_refuses(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validate(raw, SCHEMA)
    with pytest.raises(SettingsError):
        read_settings(Policy, raw)


def test_a_policy_is_said_in_words() -> None:
    policy = read(
        every={"f1": 0.4, "accuracy/group=*": 0.5},
        ceilings={"size": 160e6, "perplexity": 20, "first_token_p95": 250},
        champion={"accuracy": 0.02, "first_token": 20},
        quantization={"accuracy": 0.01},
        any_of=[{"floors": {"f1/ear": 0.5}}, {"all_of": [{"floors": {"bleu": 0.2}}]}],
        significance="better",
        use="low",
        champion_on_other_data="skip",
        max_data_age_days=90,
        required_approvals=["clinical safety", "release manager"],
    )
    assert explain(policy) == GOLDEN.read_text(encoding="utf-8").splitlines()


def test_a_metric_that_is_likely_a_slip_is_asked_about() -> None:
    policy = read(
        floors={"acuracy": 0.5, "hellaswag_acc_norm": 0.3, "f1/a.acuracy": 0.2, "our_score": 1},
        ceilings={"frist_token_p95": 200, "latency_p99": 200},
        any_of=[{"floors": {"marco_f1/eye": 0.5}}],
        max_data_age_days=9,
    )
    asked = [line for line in explain(policy) if line.endswith("meant?")]
    assert asked == [
        f"Nothing here gives {name}, unless a benchmark of yours does: was {meant} meant?"
        for name, meant in (
            ("acuracy", "accuracy"),
            ("frist_token_p95", "first_token"),
            ("marco_f1", "macro_f1"),
        )
    ]


FIELDS = [field.name for field in dataclasses.fields(Policy)]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FIELDS, "accuracy", "f1/ear"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_whatever_is_written_is_a_policy_that_asks_or_an_error_that_says(raw: Any) -> None:
    try:
        policy = read_settings(Policy, raw)
    except SettingsError:
        return
    assert list(rule_names(policy))
    assert explain(policy)


@pytest.mark.parametrize("depth", [50, 5_000])
def test_groups_may_not_be_endless(depth: int) -> None:
    raw: dict[str, Any] = {"floors": {"accuracy": 0.5}}
    for _ in range(depth):
        raw = {"any_of": [raw]}
    try:
        policy = read_settings(Policy, raw)
    except SettingsError:
        assert depth == 5_000
    else:
        assert len(list(rule_names(policy))) == 1
