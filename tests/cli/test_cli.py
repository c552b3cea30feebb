"""The command line as a person and as a machine meets it."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, candidate
from wherry.cli.doctor import _openmp
from wherry.cli.failure import show_failure
from wherry.cli.run import local_repo, standing
from wherry.cli.serve import _tell
from wherry.ledger import CHAMPION, Ledger
from wherry.runtime.events import Event
from wherry.runtime.local import Run, StageFailedError
from wherry.runtime.plan import Plan
from wherry.runtime.record import RECORD_NAME, RunRecord

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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--nonsense"], "No such option"),
        (["fly"], "No such command"),
        (["compile", "--target", "moon"], "'moon' is not one of"),
        (["compile"], "Missing option '--target'"),
        (["rollback", "m", "--reason", "r", "--to", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_is_told_like_any_other_failure(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = wherry(tmp_path, *arguments)
    assert done.stderr.startswith("E_SETTINGS ")
    assert told in done.stderr
    assert "--help`" in done.stderr.splitlines()[1]
    machine = wherry(tmp_path, *arguments, "--json")
    assert (machine.returncode, machine.stderr) == (2, "")
    error = json.loads(machine.stdout)["error"]
    assert error["code"] == "E_SETTINGS"


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    for group in ((), ("audit",), ("keys",)):
        done = wherry(tmp_path, *group)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Usage: wherry")


def test_a_missing_settings_file_is_one_clear_error(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml")
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert told == "E_MISSING no.yaml does not exist. Remedy Name a file with --settings."
    assert not (tmp_path / ".wherry").exists()


def test_a_remedy_names_no_option_that_the_command_lacks(tmp_path: Path) -> None:
    done = wherry(tmp_path, "gate", "explain", "no.yaml")
    told = " ".join(done.stderr.split())
    assert told == "E_MISSING no.yaml does not exist. Remedy Check the path."


def test_machines_get_the_error_as_json(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml", "--json")
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["message"]) == ("E_MISSING", "no.yaml does not exist.")
    assert "trace" not in error


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    done = wherry(tmp_path, "run", "--settings", "no.yaml", "--debug")
    assert "Traceback" in done.stderr
    assert "Traceback" not in wherry(tmp_path, "run", "--settings", "no.yaml").stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_that_was_refused_tells_where_its_report_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    page = tmp_path / "train-1" / "report" / "html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>why</p>")
    refused = Event("gate", "failed", code="E_GATE", message="m", remedy="r", exit_code=3)
    error = StageFailedError(refused, Run(tmp_path))
    show_failure(error, error, as_json=as_json, debug=False)
    shown = capsys.readouterr()
    report, log = tmp_path / "report.html", tmp_path / "log.txt"
    assert report.read_text() == "<p>why</p>"
    if as_json:
        told = json.loads(shown.out)["error"]
        assert (told["report"], told["log"]) == (str(report), str(log))
    else:
        assert f"Report  {report}\nLog     {log}\n" in shown.err


def test_a_report_that_a_full_disk_does_not_take_hides_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Run) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Run, "publish_report", full)
    failed = Event("tune", "failed", code="E_NOSPACE", message="m", remedy="r")
    error = StageFailedError(failed, Run(tmp_path))
    show_failure(error, error, as_json=True, debug=False)
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["code"], told["log"]) == ("E_NOSPACE", str(tmp_path / "log.txt"))


def test_a_wrong_setting_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: a\nbase: pkg://x/y\ntuen: {}")
    done = wherry(tmp_path, "run", "--settings", "s.yaml")
    assert done.returncode == 2
    assert "E_SETTINGS" in done.stderr


def test_a_fresh_workspace_holds_nothing_and_stays_empty(tmp_path: Path) -> None:
    assert "Nothing is released" in wherry(tmp_path, "models").stdout
    assert json.loads(wherry(tmp_path, "models", "--json").stdout) == []
    assert "Nothing is released" in wherry(tmp_path, "status").stdout
    assert json.loads(wherry(tmp_path, "status", "--json").stdout) == {
        "models": [],
        "last_run": None,
    }
    assert not (tmp_path / ".wherry").exists()


def test_what_a_run_ended_with_is_shown_as_it_was_said(tmp_path: Path) -> None:
    note = "expected one of [/a], [bold]b[/bold], not \x1b[31mred"
    record = RunRecord("20260101-000000", "failed", 1.5, "E_DATA", note)
    record.write(tmp_path / ".wherry" / "runs" / record.id / RECORD_NAME)
    done = wherry(tmp_path, "status")
    assert done.returncode == 0
    assert "failed, 2 s expected one of [/a], [bold]b[/bold], not \\x1b[31mred" in done.stdout


def test_servers_are_stopped_though_the_store_is_gone(tmp_path: Path) -> None:
    assert wherry(tmp_path, "stop").stdout == f"Nothing was deployed in {tmp_path}/.wherry.\n"
    folder = tmp_path / ".wherry" / "deployments"
    folder.mkdir(parents=True)
    (folder / "triage.log").touch()
    (tmp_path / ".wherry" / "ledger.db").write_bytes(b"no database")
    done = wherry(tmp_path, "stop")
    assert (done.returncode, done.stdout) == (0, "triage: was not running\n")
    machine = wherry(tmp_path, "stop", "triage", "--json")
    assert json.loads(machine.stdout) == [{"name": "triage", "stopped": False}]


def test_a_name_that_nothing_was_deployed_under_is_no_server_that_stopped(tmp_path: Path) -> None:
    done = wherry(tmp_path, "stop", "triag")
    assert done.returncode == 1
    assert "E_MISSING Nothing called 'triag' was deployed" in done.stderr
    assert not (tmp_path / ".wherry").exists()


def test_the_doctor_refuses_the_settings_that_a_run_would(tmp_path: Path) -> None:
    shutil.copytree("pipelines/settings", tmp_path / "settings")
    settings = tmp_path / "settings" / "icd10.yaml"
    settings.write_text(settings.read_text().replace("port: 8080", "port: many"))
    done = wherry(tmp_path, "doctor", "--settings", "settings/icd10.yaml", "--json")
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert not found["settings"]["ok"]
    assert "section deploy of settings/icd10.yaml" in found["settings"]["remedy"]


def test_the_doctor_names_a_workspace_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = wherry(tmp_path, "doctor", "--json", WHERRY_HOME=f"{tmp_path}/file/.wherry")
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert not found["workspace"]["ok"]
    assert f"{tmp_path}/file is no folder" in found["workspace"]["detail"]


def test_the_doctor_names_the_library_that_the_system_lacks() -> None:
    assert _openmp().ok
    missing = _openmp("libgomp.so.99")
    assert not missing.ok
    assert "libgomp.so.99" in missing.detail
    assert "libgomp1" in missing.remedy


def test_a_terminal_of_another_encoding_ends_no_command(tmp_path: Path) -> None:
    done = wherry(tmp_path, "doctor", PYTHONIOENCODING="latin-1")
    assert "E_INTERNAL" not in done.stderr
    assert "? python" in done.stdout


def test_the_doctor_goes_on_past_a_store_that_does_not_open(tmp_path: Path) -> None:
    done = wherry(tmp_path, "doctor", "--json", WHERRY_STORE="mysql://db")
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert not found["ledger"]["ok"]
    assert "WHERRY_STORE" in found["ledger"]["detail"]
    assert "keys" in found


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


def test_what_is_served_is_told_to_people_and_to_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        release = ledger.register(candidate(ledger, tmp_path, b"1"))
    _tell(release, "http://[::1]:8080", as_json=False)
    told = f"{NAME} version 1 at http://[::1]:8080; Ctrl-C ends it\n"
    assert capsys.readouterr().out == told
    _tell(release, "http://[::1]:8080", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "name": NAME,
        "version": 1,
        "digest": release.digest,
        "url": "http://[::1]:8080",
    }


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


def test_a_port_that_is_taken_is_told_before_the_work(tmp_path: Path) -> None:
    shutil.copytree("pipelines/settings", tmp_path / "settings")
    settings = tmp_path / "settings" / "icd10.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings.write_text(settings.read_text().replace("port: 8080", f"port: {port}"))
        done = wherry(tmp_path, "run", "--settings", "settings/icd10.yaml")
        looked = wherry(tmp_path, "doctor", "--settings", "settings/icd10.yaml", "--json")
    found = {one["what"]: one for one in json.loads(looked.stdout)}
    assert not found["port"]["ok"]
    assert f"Port {port} on 127.0.0.1 cannot be used" in found["port"]["detail"]
    assert f"The deploy would fail: Port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert "E_MISSING" in done.stderr  # there is no data here: the run went on, and no further
    again = wherry(tmp_path, "run", "--settings", "settings/icd10.yaml")
    assert "The deploy would fail" not in again.stderr


@pytest.mark.parametrize(
    ("uri", "told"),
    [("hf://ORG/NAME@" + "a" * 40, True), ("hf://ORG/NAME/model.Q8_0.gguf@" + "a" * 40, False)],
)
def test_a_base_without_its_gguf_is_told_before_the_work(
    tmp_path: Path, uri: str, told: bool
) -> None:
    shutil.copytree("pipelines/settings", tmp_path / "settings")
    settings = tmp_path / "settings" / "icd10.yaml"
    lines = settings.read_text().splitlines()
    settings.write_text(
        "\n".join(f"base: {uri}" if line.startswith("base: ") else line for line in lines)
    )
    done = wherry(tmp_path, "run", "--settings", "settings/icd10.yaml")
    assert ("Quantizing would fail" in done.stderr) == told
    assert "E_MISSING" in done.stderr  # there is no data here: the run went on, and no further


def test_a_run_says_whether_its_version_is_live(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        waiting = ledger.register(candidate(ledger, tmp_path, b"1"))
    assert "champion" not in standing(waiting)
    assert "registered and not live" in standing(waiting)
    assert f"`wherry models show {NAME}:1`" in standing(waiting)
    live = replace(waiting, aliases=(CHAMPION,))
    assert standing(live) == f"[bold green]{NAME} version 1[/] is the champion."
