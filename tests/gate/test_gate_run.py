"""The gate from files to a file: it reads the champion from the ledger and says what it decided."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, RunFiles, candidate, metrics, run_files
from wherry.contracts import (
    Blessing,
    Dataset,
    Manifest,
    Metric,
    PairedTest,
    PairedTests,
    Scores,
    Split,
    digest_bytes,
    digest_file,
    digest_record,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    DigestError,
    FormatError,
    GateRefusedError,
    SettingsError,
    SignatureError,
    SigningKeyError,
    StoreError,
)
from wherry.contracts.parity import Parity
from wherry.entry import main
from wherry.gate import __main__ as gate_main
from wherry.gate.run import refuse, run
from wherry.ledger import CHAMPION, Ledger
from wherry.signing import BLESSING, check_stamp

POLICY = json.dumps({"floors": {"accuracy": 0.6}, "champion": {"accuracy": 0.02}})
STRICT = json.dumps({"floors": {"accuracy": 0.9}})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFiles:
    """The files of a run, in a workspace of their own."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    made = run_files(tmp_path / "run")
    made.blessing.unlink()
    return made


def judge(files: RunFiles, settings: str = POLICY, paired: Path | None = None) -> bool:
    """Runs the gate on the files."""
    return run(
        *(files.scores_tuned, files.scores_quantized, files.parity, files.blessing),
        *(NAME, settings),
        paired=paired,
    )


def test_a_blessing_is_written_and_nothing_else(files: RunFiles, tmp_path: Path) -> None:
    assert judge(files)
    verdict = Blessing.read(files.blessing)
    assert verdict.passed
    assert verdict.model_digest == Scores.read(files.scores_quantized).model_digest
    assert [path.name for path in (tmp_path / ".wherry").iterdir()] == ["keys"]
    refuse(files.blessing)  # nothing to refuse


def test_a_refusal_is_written_too_and_refuse_ends_the_run(files: RunFiles) -> None:
    assert judge(files, STRICT) is False
    assert not Blessing.read(files.blessing).passed
    with pytest.raises(GateRefusedError, match=r"is 70\.00%, at least 90\.00%") as caught:
        refuse(files.blessing)
    assert (caught.value.code, caught.value.exit_code) == ("E_GATE", 3)


def test_the_champions_scores_come_from_the_ledger(files: RunFiles, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / ".wherry") as ledger:
        live = ledger.register_and_switch(
            candidate(ledger, tmp_path, b"live"), CHAMPION, expected_generation=0, reason="first"
        )
    assert judge(files) is False  # it was scored on other data
    verdict = Blessing.read(files.blessing)
    assert verdict.champion_digest == live.digest
    assert "champion was scored on other data" in verdict.reasons[0]
    skip = json.dumps({**json.loads(POLICY), "champion_on_other_data": "skip"})
    assert judge(files, skip)
    other = run(
        *(files.scores_tuned, files.scores_quantized, files.parity, files.blessing),
        name="another-model",
        settings=POLICY,
    )
    assert other
    assert Blessing.read(files.blessing).champion_digest is None


def test_the_blessing_is_signed_and_says_what_it_was_judged_by(files: RunFiles) -> None:
    judge(files)
    verdict = Blessing.read(files.blessing)
    assert check_stamp(verdict, BLESSING, files.keys.keyring()).owner == "ann"
    assert (verdict.name, verdict.judged[-1]) == (NAME, "Z")
    assert verdict.evidence == {
        "tuned": digest_record(Scores.read(files.scores_tuned)),
        "parity": digest_record(Parity.read(files.parity)),
    }
    judge(files, STRICT)
    refusal = Blessing.read(files.blessing)
    assert check_stamp(refusal, BLESSING, files.keys.keyring())
    with pytest.raises(SignatureError):
        forged = replace(refusal, passed=True, checks=verdict.checks)
        check_stamp(forged, BLESSING, files.keys.keyring())


def test_without_a_key_nothing_is_judged(files: RunFiles) -> None:
    files.keys.revoke(files.keys.keyring().current, "lost", datetime.now(UTC))
    with pytest.raises(SigningKeyError, match="No key"):
        judge(files)
    files.keys.path.unlink()
    with pytest.raises(SigningKeyError, match="There is no key") as caught:
        judge(files)
    assert "wherry keys init" in caught.value.remedy
    assert not files.blessing.exists()


def more(files: RunFiles, **parts: Path) -> Blessing:
    """Runs the gate with more evidence, and gives what it wrote."""
    policy = {
        "floors": {"accuracy": 0.6},
        "ceilings": {"jailbreak_rate": 0.05},
        "max_data_age_days": 3650,
        "champion": {"accuracy": 0.02},
        "significance": "not worse",
    }
    run(
        *(files.scores_tuned, files.scores_quantized, files.parity, files.blessing),
        name=NAME,
        settings=json.dumps(policy),
        **parts,
    )
    return Blessing.read(files.blessing)


def test_safety_and_the_age_of_the_data_are_read_from_their_files(
    files: RunFiles, tmp_path: Path
) -> None:
    assert len(more(files).reasons) == 2
    quantized = Scores.read(files.scores_quantized)
    rate = Metric("jailbreak_rate", 0.0, 60, 0.0, 0.05)
    asked = replace(quantized, split="safety", data_digest=digest_bytes(b"p"), metrics=(rate,))
    asked.write(tmp_path / "safety.json")
    data = dated(files.dataset, "2020-01-01T00:00:00Z", datetime.now(UTC).isoformat())
    verdict = more(files, scores_safety=tmp_path / "safety.json", dataset=data)
    assert verdict.reasons == ()
    assert verdict.evidence["safety"] == digest_record(asked)
    timeless = dated(data, datetime.now(UTC).isoformat(), "")
    odd = more(files, scores_safety=tmp_path / "safety.json", dataset=timeless)
    assert [reason.partition(",")[0] for reason in odd.reasons] == [
        "not every row of the training data says when it was written"
    ]


def dated(dataset: Path, *times: str) -> Path:
    """A copy of a data set with a training split of rows that were written at these times."""
    folder = dataset.with_name(f"{dataset.name}-dated")
    shutil.copytree(dataset, folder)
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    rows = [{"id": str(n), "messages": turns, "time": time} for n, time in enumerate(times)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Dataset.read(folder / DATASET_NAME)
    split = Split("train", "train.jsonl", len(times), digest_file(folder / "train.jsonl"))
    replace(data, splits=(data.split("test"), split)).write(folder / DATASET_NAME)
    Manifest.seal(folder)
    return folder


def test_a_data_set_that_was_not_scored_is_a_mistake(files: RunFiles) -> None:
    scored = Scores.read(files.scores_quantized)
    replace(scored, data_digest=digest_bytes(b"other")).write(files.scores_quantized)
    with pytest.raises(DigestError, match="the file was scored on"):
        more(files, dataset=files.dataset)


@pytest.mark.parametrize(("value", "passed"), [(0.71, True), (0.75, False)])
def test_a_champion_that_was_asked_anew_is_compared_on_todays_data(
    files: RunFiles, tmp_path: Path, value: float, passed: bool
) -> None:
    shipped = Scores.read(files.scores_quantized)  # accuracy 0.70
    with Ledger.open(tmp_path / ".wherry") as ledger:
        made = candidate(ledger, tmp_path, b"live")
        live = ledger.register_and_switch(made, CHAMPION, expected_generation=0, reason="first")
    anew = replace(shipped, subject=CHAMPION, model_digest=live.digest, metrics=metrics(value))
    assert judge(files, paired=written(anew, shipped, tmp_path)) is passed
    assert Blessing.read(files.blessing).evidence["champion"] == digest_record(anew)
    # Of another version than the live one it says nothing.
    stale = replace(anew, model_digest=digest_bytes(b"retired"))
    assert not judge(files, paired=written(stale, shipped, tmp_path))
    assert "champion was scored on other data" in Blessing.read(files.blessing).reasons[0]


def written(champion: Scores, challenger: Scores, folder: Path) -> Path:
    """Writes their paired tests."""
    paired_of(champion, challenger).write(folder / "paired.json")
    return folder / "paired.json"


def paired_of(champion: Scores, challenger: Scores) -> PairedTests:
    """Tests of one metric that found no difference."""
    test = PairedTest(
        "accuracy", "", 252, 0.7, 0.7, 0.0, -0.01, 0.01, 1.0, 1.0, "mcnemar", "undecided"
    )
    none = digest_bytes(b"predictions")
    digests = champion.model_digest, challenger.model_digest, challenger.data_digest
    return PairedTests(*digests, (test,), none, none, champion_scores=champion)


def test_paired_tests_are_read_from_their_file(files: RunFiles, tmp_path: Path) -> None:
    shipped = Scores.read(files.scores_quantized)
    with Ledger.open(tmp_path / ".wherry") as ledger:
        made = candidate(ledger, tmp_path, b"live", data=shipped.data_digest)
        ledger.register_and_switch(made, CHAMPION, expected_generation=0, reason="first")
    told = "accuracy was not tested against the champion, row by row"
    assert told in more(files).reasons
    kept = made.scores[1]
    found = more(files, paired=written(kept, shipped, tmp_path))
    assert [check.observed for check in found.checks if check.rule == "champion"] == [-0.01]
    assert told not in found.reasons


@pytest.mark.parametrize("settings", ["", "{}", '{"floors": {}}', '{"floors": {"accuracy": 2}}'])
def test_a_bad_policy_writes_no_blessing(files: RunFiles, settings: str) -> None:
    with pytest.raises(SettingsError):
        judge(files, settings)
    assert not files.blessing.exists()


def test_broken_scores_write_no_blessing(files: RunFiles) -> None:
    files.scores_quantized.write_text('{"accuracy": 1}')
    with pytest.raises(FormatError):
        judge(files)
    assert not files.blessing.exists()


def test_a_store_that_cannot_be_asked_fails_closed(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_STORE", "unset:")
    with pytest.raises(StoreError):
        judge(files)
    assert not files.blessing.exists()


def test_the_runner_is_told_the_verdict_and_the_cause(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_EVENTS", str(tmp_path / "events"))
    judge(files)
    judge(files, STRICT)
    with pytest.raises(GateRefusedError):
        refuse(files.blessing)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    verdicts = [event["verdict"] for event in events if event["kind"] == "done"]
    assert verdicts[0].startswith("blessed, ")
    assert verdicts[1].startswith("refused: accuracy is 70.00%")
    (failed,) = (event for event in events if event["kind"] == "failed")
    assert (failed["stage"], failed["code"], failed["exit_code"]) == ("refuse", "E_GATE", 3)


@pytest.mark.parametrize(("settings", "code"), [(POLICY, None), (STRICT, 3), ("{}", 2)])
def test_as_a_plain_container_it_exits_with_the_verdict(
    files: RunFiles, settings: str, code: int | None
) -> None:
    arguments = [
        *("--scores-tuned", str(files.scores_tuned), "--parity", str(files.parity)),
        *("--scores-quantized", str(files.scores_quantized), "--blessing", str(files.blessing)),
        *("--name", NAME, "--settings", settings),
    ]
    if code is None:
        main(gate_main._run_or_refuse, arguments)
        assert Blessing.read(files.blessing).passed
        return
    with pytest.raises(SystemExit) as caught:
        main(gate_main._run_or_refuse, arguments)
    assert caught.value.code == code
