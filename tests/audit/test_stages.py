"""Each stage of a run says from which bytes it made which, by whom and where; never a secret."""

import base64
import inspect
import json
import sys
from pathlib import Path

import pytest

from tests.fakes.logs import open_log
from tests.fakes.releases import run_files
from wherry.contracts import Manifest, digest_bytes, digest_file
from wherry.contracts.errors import SettingsError, StoreError
from wherry.gate.run import run as gate
from wherry.ledger import AuditRow
from wherry.ledger.actor import process_actor
from wherry.ledger.circumstances import process_circumstances
from wherry.ledger.stages import recorded


@recorded("double {subject}", inputs=("source", "folder"), outputs=("target", "extra"))
def double(
    source: Path,
    folder: Path,
    target: Path,
    subject: str,
    extra: Path | None = None,
    uri: str = "",
    settings: str = "",
) -> int:
    """Writes a file twice as long."""
    data = source.read_bytes()
    if not data:
        raise SettingsError("the file is empty.", remedy="Write something into it.")
    return target.write_bytes(2 * data)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a task of run-7, with a store."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    monkeypatch.setenv("WHERRY_EVENTS", str(tmp_path / ".wherry/runs/run-7/events.jsonl"))
    (tmp_path / "source").write_bytes(b"abc")
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "part").write_bytes(b"x")
    Manifest.seal(tmp_path / "sealed")
    return tmp_path


def rows(folder: Path) -> list[AuditRow]:
    with open_log(folder) as ledger:
        assert ledger.verify().ok
        return list(ledger.audit())


def test_a_stage_is_recorded_with_its_bytes(task: Path) -> None:
    uri = "s3://ann:hunter2-correct@bucket/data?token=abcdef"
    made = double(
        task / "source", task / "sealed", task / "target", "it", uri=uri, settings='{"a": 1}'
    )
    assert made == 6
    (row,) = rows(task)
    assert row.stage and row.run and row.environment
    assert (row.action, row.outcome, row.stage.name) == ("stage", "done", "double it")
    assert [(one.name, one.digest) for one in row.stage.inputs] == [
        ("source", digest_bytes(b"abc")),
        ("folder", Manifest.read(task / "sealed" / "manifest.json").digest),
    ]
    assert [one.digest for one in row.stage.outputs] == [digest_file(task / "target")]
    assert row.stage.settings == digest_bytes(b'{"a": 1}')
    assert row.stage.parameters["subject"] == "it"
    assert (row.run.platform, row.run.id) == ("local", "run-7")
    assert row.environment.python == sys.version.split()[0]
    assert row.environment.packages.startswith("sha256:")
    assert row.actor == process_actor()
    assert "hunter2" not in str(row)
    assert "abcdef" not in str(row)
    assert row.redactions == ("stage.parameters.uri",)


def test_a_stage_that_fails_is_recorded_too(task: Path) -> None:
    (task / "source").write_bytes(b"")
    with pytest.raises(SettingsError):
        double(task / "source", task / "sealed", task / "target", "it")
    (row,) = rows(task)
    assert (row.outcome, row.error_code) == ("failed", "E_SETTINGS")
    assert row.stage and row.stage.outputs == ()


def test_outside_of_a_run_nothing_is_recorded(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WHERRY_EVENTS")
    double(task / "source", task / "sealed", task / "target", "it")
    assert not (task / ".wherry").exists()


def test_a_stage_that_cannot_be_recorded_fails(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_STORE", "unset:")
    with pytest.raises(StoreError, match="WHERRY_STORE"):
        double(task / "source", task / "sealed", task / "target", "it")


def test_its_signature_stays_what_command_lines_are_made_of() -> None:
    assert list(inspect.signature(double).parameters)[:2] == ["source", "folder"]
    assert double.__doc__ == "Writes a file twice as long."


def test_the_gate_is_recorded(task: Path) -> None:
    (task / ".wherry/runs/run-7").mkdir(parents=True)
    files = run_files(task / "files")
    policy = json.dumps({"floors": {"accuracy": 0.6}})
    verdict = task / "blessing.json"
    gate(files.scores_tuned, files.scores_quantized, files.parity, verdict, "demo", policy)
    (row,) = rows(task)
    assert row.stage
    assert {one.name for one in row.stage.inputs} == {"scores_tuned", "scores_quantized", "parity"}
    assert [one.digest for one in row.stage.outputs] == [digest_file(verdict)]
    assert row.stage.parameters == {"name": "demo"}


def jwt(subject: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return f"header.{claims}.signature"


def test_in_a_pod_the_actor_is_its_service_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("USER", "root-of-all")
    token = tmp_path / "token"
    token.write_text(jwt("system:serviceaccount:kubeflow:pipeline-runner"))
    actor = process_actor(token)
    assert (actor.id, actor.kind) == ("system:serviceaccount:kubeflow:pipeline-runner", "service")
    assert actor.authenticated == "kubernetes-service-account"
    for broken in ("", "a.b", "a.!!.c", "a.e30.c", jwt("x")[:-12]):
        token.write_text(broken)
        assert process_actor(token).kind == "service"
        assert "root-of-all" not in process_actor(token).id


def test_the_run_is_that_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WHERRY_EVENTS", "WHERRY_RUN_ID", "KUBERNETES_SERVICE_HOST", "CLOUD_ML_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert process_circumstances().run is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KFP_POD_NAME", "train-to-deploy-x1")
    monkeypatch.setenv("WHERRY_RUN_ID", "4f5e")
    run = process_circumstances().run
    assert run and (run.platform, run.id, run.task) == ("kubeflow", "4f5e", "train-to-deploy-x1")
    monkeypatch.setenv("CLOUD_ML_JOB_ID", "99")
    run = process_circumstances().run
    assert run and (run.platform, run.task) == ("vertex", "99")
    actor = process_actor()
    assert (actor.id, actor.kind) == ("vertex-job:99", "service")


def test_openlineage_is_told_where_somebody_listens(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openlineage.client", reason="pip install openlineage-python")
    told = task / "openlineage.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(told))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    double(task / "source", task / "sealed", task / "target", "it")
    double(task / "target", task / "sealed", task / "again", "it")
    first, second = map(json.loads, told.read_text().splitlines())
    assert (first["eventType"], first["job"]["name"]) == ("COMPLETE", "double it")
    assert first["outputs"][0]["name"] == second["inputs"][0]["name"] == digest_bytes(b"abcabc")
    (task / "source").write_bytes(b"")
    with pytest.raises(SettingsError):
        double(task / "source", task / "sealed", task / "target", "it")
    assert json.loads(told.read_text().splitlines()[-1])["eventType"] == "FAIL"
