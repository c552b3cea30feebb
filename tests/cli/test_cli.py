"""The command line as a person and as a machine meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.cli.run import local_repo
from wherry.runtime.plan import Plan

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WHERRY_")}


def wherry(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from wherry.cli import main; main()", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = wherry(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("run", "compile", "status", "models", "serve", "stop", "doctor"):
        assert f"\n  {command} " in done.stdout


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert wherry(tmp_path, "run", "--nonsense").returncode == 2
    assert wherry(tmp_path, "fly").returncode == 2
    assert wherry(tmp_path, "compile", "--target", "moon").returncode == 2


def test_a_missing_settings_file_is_one_clear_error(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml")
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert told == "E_MISSING no.yaml does not exist. Remedy Name a file with --settings."
    assert not (tmp_path / ".wherry").exists()


def test_machines_get_the_error_as_json(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml", "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["message"]) == ("E_MISSING", "no.yaml does not exist.")
    assert "trace" not in error


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml", "--debug")
    assert "Traceback" in done.stderr
    assert "Traceback" not in wherry(tmp_path, "run", "--settings", "no.yaml").stderr


def test_a_wrong_setting_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: a\nbase: pkg://x/y\ntuen: {}")
    done = wherry(tmp_path, "run", "--settings", "s.yaml")
    assert done.returncode == 2
    assert "E_SETTINGS" in done.stderr


def test_a_fresh_workspace_holds_nothing_and_stays_empty(tmp_path: Path) -> None:
    assert "No version" in wherry(tmp_path, "models").stdout
    assert json.loads(wherry(tmp_path, "models", "--json").stdout) == []
    assert "Nothing is released" in wherry(tmp_path, "status").stdout
    assert json.loads(wherry(tmp_path, "status", "--json").stdout) == {
        "models": [],
        "last_run": None,
    }
    assert not (tmp_path / ".wherry").exists()


def test_a_control_character_in_a_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "\x1b[31mred.yaml")
    assert "\x1b" not in done.stderr
    assert "\\x1b[31mred.yaml" in done.stderr


@pytest.mark.parametrize("model", ["nobody", "nobody@champion"])
def test_serving_what_was_never_released_says_so(tmp_path: Path, model: str) -> None:
    done = wherry(tmp_path, "serve", model)
    assert done.returncode == 1
    assert "E_MISSING" in done.stderr
    assert "wherry models" in done.stderr
    assert not (tmp_path / ".wherry").exists()


def test_serving_a_version_that_is_no_number_is_wrong_usage(tmp_path: Path) -> None:
    done = wherry(tmp_path, "serve", "nobody:latest")
    assert done.returncode == 2
    assert "E_SETTINGS" in done.stderr


def test_a_store_that_this_version_cannot_use_is_refused(tmp_path: Path) -> None:
    done = wherry(tmp_path, "models", WHERRY_STORE="postgresql://somewhere/db")
    assert done.returncode == 1
    assert "E_STORE" in done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/org/data",
        "git@github.com:org/data.git",
        "hf://datasets/org/name",
        "s3://bucket/prefix",
        "file:folder",
    ],
)
def test_an_address_of_data_is_handed_on_as_it_is(address: str) -> None:
    assert local_repo(Plan("n", "b", address, "", {})) == address


def test_a_folder_of_data_is_made_absolute() -> None:
    assert local_repo(Plan("n", "b", "some/repo", "", {})) == str(Path("some/repo").absolute())
