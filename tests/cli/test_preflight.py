"""What would only be refused after the tuning is refused before it."""

from pathlib import Path
from typing import Any

import pytest

from wherry.cli.preflight import check_settings
from wherry.contracts.errors import SettingsError
from wherry.runtime.plan import Plan, read_plan

DEMO = Path("pipelines/settings/icd10.yaml")


def changed(**sections: dict[str, Any]) -> Plan:
    plan = read_plan(DEMO)
    rooms = {room: {**given, **sections.get(room, {})} for room, given in plan.rooms.items()}
    return Plan(plan.name, plan.base_uri, plan.data_repo, plan.data_revision, rooms)


def test_the_demos_settings_pass() -> None:
    check_settings(read_plan(DEMO), DEMO)


@pytest.mark.parametrize(
    ("room", "field"),
    [("evaluate", "split"), ("quantize", "split"), ("quantize", "importance_split")],
)
def test_a_split_that_is_not_made_is_refused(room: str, field: str) -> None:
    told = f"section {room} of .*: {field} is 'tset', expected one of train, eval, test"
    with pytest.raises(SettingsError, match=told):
        check_settings(changed(**{room: {field: "tset"}}), DEMO)


def test_a_gate_that_looks_at_another_split_is_refused() -> None:
    with pytest.raises(SettingsError, match="evaluate scores the split 'eval', the gate .* 'test'"):
        check_settings(changed(evaluate={"split": "eval"}), DEMO)
    check_settings(changed(evaluate={"split": "eval"}, gate={"split": "eval"}), DEMO)


def test_a_pipeline_that_does_not_quantize_needs_no_eval_split() -> None:
    check_settings(changed(ingest={"splits": ["train", "test"]}), DEMO)


@pytest.mark.parametrize("rules", [{}, {"all_of": [{"ceilings": {"first_token_p95": 900}}]}])
def test_a_quantile_that_too_few_runs_are_made_for_is_refused(rules: dict[str, Any]) -> None:
    gate = rules or {"ceilings": {"first_token_p95": 900}}
    with pytest.raises(SettingsError, match=r"first_token_p95, which takes 20 runs .* is 19"):
        check_settings(changed(gate=gate, evaluate={"speed_runs": 19}), DEMO)
    check_settings(changed(gate=gate, evaluate={"speed_runs": 20}), DEMO)
    with pytest.raises(SettingsError, match="first_token_p99, which evaluate does not measure"):
        check_settings(changed(gate={"ceilings": {"first_token_p99": 900}}), DEMO)
