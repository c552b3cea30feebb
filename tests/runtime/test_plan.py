"""A settings file becomes the pipeline's arguments, or one clear error."""

import json
from pathlib import Path

import pytest

from wherry.contracts import Code
from wherry.contracts.errors import MissingError, SettingsError
from wherry.runtime.plan import read_plan

CODE = Code(version="1")


def write(folder: Path, text: str) -> Path:
    (folder / "settings.yaml").write_text(text)
    return folder / "settings.yaml"


def test_the_demos_settings_are_read() -> None:
    plan = read_plan(Path("pipelines/settings/icd10.yaml"))
    assert plan.name == "icd10-triage"
    assert plan.rooms["gate"]
    assert plan.rooms["validate"]["suite"]


def test_settings_travel_as_json_strings(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ntune: {rank: 8}"))
    arguments = plan.arguments(checksum="md5:1", code=CODE, repo="/data")
    assert json.loads(arguments["tune_settings"]) == {"rank": 8}
    assert arguments["gate_settings"] == "{}"
    assert (arguments["data_repo"], arguments["data_checksum"]) == ("/data", "md5:1")
    assert all(isinstance(value, str) for value in arguments.values())
    assert not any("\n" in value for value in arguments.values())


def test_the_base_may_have_settings_of_its_own(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "name: a\nbase: {uri: pkg://x/y, licence: MIT}"))
    arguments = plan.arguments(checksum="", code=CODE)
    assert arguments["base_uri"] == "pkg://x/y"
    assert json.loads(arguments["base_settings"]) == {"licence": "MIT"}


def test_a_change_of_any_setting_changes_the_lineage(tmp_path: Path) -> None:
    both = [
        read_plan(write(tmp_path, f"name: a\nbase: pkg://x/y\ntune: {{rank: {rank}}}")).arguments(
            checksum="", code=CODE
        )["run_settings"]
        for rank in (8, 9)
    ]
    assert both[0] != both[1]


def test_a_file_beside_it_is_included(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("floors: {accuracy: 0.5}")
    plan = read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ngate: !include gate.yaml"))
    assert plan.rooms["gate"] == {"floors": {"accuracy": 0.5}}


def test_a_cluster_deploys_where_it_runs(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ndeploy: {target: local}"))
    assert plan.for_target("kubeflow").rooms["deploy"]["target"] == "kserve"
    assert plan.for_target("vertex").rooms["deploy"]["target"] == "vertex"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a mapping"),
        ("a: [", "no YAML"),
        ("base: pkg://x/y", "no 'name'"),
        ("name: a", "no 'base'"),
        ("name: a\nbase: {template: chatml}", "section 'base', has no 'uri'"),
        ("name: a\nbase: pkg://x/y\ngate: {}\ngate: {a: 1}", "'gate' is given twice"),
        ("name: A b\nbase: pkg://x/y", "no DNS label"),
        ("name: a\nbase: pkg://x/y\ntuen: {}", "unknown section 'tuen'"),
        ("name: a\nbase: pkg://x/y\ntune: 3", "'tune' is int"),
        ("name: a\nbase: pkg://x/y\ndata: {rev: 1}", "unknown field data.rev"),
        ("name: a\nbase: pkg://x/y\ngate: !include ../../etc/passwd", "cannot include"),
        ("name: a\nbase: pkg://x/y\ngate: !include settings.yaml", "cannot include"),
        ("name: a\nbase: pkg://x/y\ngate: false", "'gate' is bool"),
        ("name: a\nbase: pkg://x/y\nvalidate: {at: 2026-12-31}", "'validate' holds what has no"),
        ("name: a\nbase: {uri: pkg://x/y, at: 2026-12-31}", "'base' holds what has no"),
        ("name: a\nbase: pkg://x/y\ngate: {floors: {accuracy: .inf}}", "'gate' holds what has no"),
        ("name: a\nbase: pkg://x/y\ngate: &g [*g]", "'gate' is list"),
        ("name: a\nbase: pkg://x/y\ngate: {g: &g [*g]}", "'gate' holds what has no"),
        ("name: !!python/object/apply:os.getcwd []", "no YAML"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_plan(write(tmp_path, text))
    assert told in refused.value.message


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("two: !include two.yaml")
    (tmp_path / "two.yaml").write_text("one: !include one.yaml")
    with pytest.raises(SettingsError, match=r"two\.yaml: cannot include 'one\.yaml'"):
        read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ngate: !include one.yaml"))


def test_a_field_that_is_left_empty_has_its_default(tmp_path: Path) -> None:
    plan = read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ndata: {repo: , revision: }\ntune:"))
    assert (plan.data_repo, plan.data_revision, plan.rooms["tune"]) == (".", "", {})


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="does not exist"):
        read_plan(tmp_path / "no.yaml")
    with pytest.raises(MissingError, match="does not exist") as missing:
        read_plan(write(tmp_path, "name: a\nbase: pkg://x/y\ngate: !include no.yaml"))
    assert missing.value.remedy == "Put it beside settings.yaml, which includes it."


@pytest.mark.parametrize(
    ("value", "told"), [("x" * 200_000, "expected at most"), ("/opt/python3/x", "python3")]
)
def test_what_kfps_runner_would_break_is_refused(tmp_path: Path, value: str, told: str) -> None:
    plan = read_plan(write(tmp_path, f"name: a\nbase: pkg://x/y\ntune: {{note: {value}}}"))
    with pytest.raises(SettingsError, match=told):
        plan.arguments(checksum="", code=CODE)
