"""`wherry gate` and `wherry keys` as a person and as a machine meets them."""

import json
import stat
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.releases import NAME, parity, scores
from wherry.cli import main
from wherry.cli.keys import ensure_key
from wherry.contracts import Blessing, Waiver
from wherry.contracts.errors import SigningKeyError
from wherry.signing import BLESSING, KeyFolder, load_signer, stamp

POLICY = """
floors: { accuracy: 0.60, macro_f1: 0.75 }
ceilings: { size: 160000000 }
quantization: { accuracy: 0.02 }
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Wherry:
    """The command line in this process: a process of its own takes half a second each."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, folder: Path, *arguments: str) -> Done:
        self._patch.chdir(folder)
        self._patch.setattr(sys, "argv", ["wherry", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Done(code, *self._capture.readouterr())


@pytest.fixture
def wherry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wherry:
    """The `wherry` command, in a terminal of 80 columns."""
    for name in ("WHERRY_HOME", "WHERRY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return Wherry(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and the records that it is held against."""
    (tmp_path / "gate.yaml").write_text(POLICY)
    scores().write(tmp_path / "scores.json")
    scores("tuned").write(tmp_path / "tuned.json")
    parity().write(tmp_path / "parity.json")
    return tmp_path


CHECK = (
    *("gate", "check", "--policy", "gate.yaml", "--scores", "scores.json"),
    *("--tuned", "tuned.json", "--parity", "parity.json", "--name", NAME),
)
WAIVE = (
    *("gate", "waive", "floors.macro_f1", "--policy", "gate.yaml", "--name", NAME),
    *("--why", "twelve rows a class", "--until", "2100-01-01"),
)


def test_a_policy_is_explained(folder: Path, wherry: Wherry) -> None:
    done = wherry(folder, "gate", "explain", "gate.yaml")
    assert done.returncode == 0, done.stderr
    assert "  - macro_f1 is at least 75.00%\n  - size is at most 160.0 MB\n" in done.stdout
    told = json.loads(wherry(folder, "gate", "explain", "gate.yaml", "--json").stdout)
    assert told["rules"] == [
        *("floors.accuracy", "floors.macro_f1", "ceilings.size", "quantization.accuracy")
    ]
    assert told["policy_digest"] in done.stdout


def test_the_gate_section_of_a_runs_settings_is_a_policy_too(folder: Path, wherry: Wherry) -> None:
    (folder / "run.yaml").write_text("name: triage\ngate: !include gate.yaml\n")
    one, other = (
        json.loads(wherry(folder, "gate", "explain", name, "--json").stdout)
        for name in ("run.yaml", "gate.yaml")
    )
    assert one == other


def test_a_check_shows_what_fails_first_and_exits_with_3(folder: Path, wherry: Wherry) -> None:
    done = wherry(folder, *CHECK)
    assert done.returncode == 3
    assert done.stdout.startswith("✗ macro_f1 is 68.00%, at least 75.00% is asked for")
    assert "Refused: 1 of 8 checks fail." in done.stdout
    told = json.loads(wherry(folder, *CHECK, "--json").stdout)
    assert told["passed"] is False
    (failed,) = (check for check in told["checks"] if not check["passed"])
    assert (failed["name"], failed["observed"]) == ("floors.macro_f1", pytest.approx(0.68))
    assert not list(folder.glob("*blessing*"))


def test_what_is_not_handed_over_fails_the_rules_that_need_it(folder: Path, wherry: Wherry) -> None:
    done = wherry(folder, *CHECK[:6])
    assert done.returncode == 3
    assert "there are no scores of the tuned model" in done.stdout
    assert "next tokens" not in done.stdout


def test_scores_of_another_file_are_refused(folder: Path, wherry: Wherry) -> None:
    (folder / "gate.yaml").write_text("floors: { accuracy: 0.60 }")
    (folder / "model.gguf").write_bytes(b"gguf")
    assert wherry(folder, *CHECK, "--file", "model.gguf").returncode == 0
    (folder / "model.gguf").write_bytes(b"another")
    done = wherry(folder, *CHECK, "--file", "model.gguf")
    assert done.returncode == 3
    assert done.stdout.startswith("✗ the scores are of another file")


def test_a_waiver_is_signed_taken_into_the_policy_and_excuses_its_rule(
    folder: Path, wherry: Wherry
) -> None:
    refused = wherry(folder, *WAIVE)
    assert (refused.returncode, refused.stderr[:5]) == (1, "E_KEY")
    assert wherry(folder, "keys", "init", "--owner", "ann").returncode == 0
    done = wherry(folder, *WAIVE)
    assert done.returncode == 0, done.stderr
    assert "waived by ann until 2100-01-01T00:00:00Z" in done.stdout
    with (folder / "gate.yaml").open("a") as file:
        file.write("waivers: [!include waiver.json]\n")
    held = wherry(folder, *CHECK)
    assert held.returncode == 0, held.stdout
    assert "~ macro_f1 is 68.00%" in held.stdout
    assert "twelve rows a class" in held.stdout
    assert "Waived until 2100-01-01" in wherry(folder, "gate", "explain", "gate.yaml").stdout
    waiver = Waiver.read(folder / "waiver.json")
    replace(waiver, until="2200-01-01T00:00:00Z").write(folder / "waiver.json")
    forged = wherry(folder, *CHECK)
    assert forged.returncode == 3
    assert "E_SIGNATURE" in forged.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"floors.macro_f1": "floors.f1"}, "has no rule 'floors.f1', expected one of floors.acc"),
        ({"2100-01-01": "2020-01-01"}, "is over already"),
        ({"2100-01-01": "soon"}, "is no time"),
        ({"twelve rows a class": " "}, "No reason was given"),
        ({NAME: "De mo"}, "name 'De mo' is no DNS label"),
    ],
)
def test_a_waiver_that_cannot_be_meant_is_not_signed(
    folder: Path, wherry: Wherry, change: dict[str, str], told: str
) -> None:
    wherry(folder, "keys", "init")
    done = wherry(folder, *(change.get(word, word) for word in WAIVE))
    assert done.returncode == 2
    assert told in done.stderr
    assert not (folder / "waiver.json").exists()


def test_a_waiver_is_not_written_over_one_of_another_rule_or_over_a_policy(
    folder: Path, wherry: Wherry
) -> None:
    wherry(folder, "keys", "init")
    assert wherry(folder, *WAIVE).returncode == 0
    first = (folder / "waiver.json").read_bytes()
    other = wherry(folder, *(word.replace("macro_f1", "accuracy") for word in WAIVE))
    assert (other.returncode, other.stderr[:10]) == (2, "E_SETTINGS")
    assert "holds the waiver of floors.macro_f1" in other.stderr
    assert (folder / "waiver.json").read_bytes() == first
    assert wherry(folder, *WAIVE, "--out", "gate.yaml").returncode == 1
    assert (folder / "gate.yaml").read_text() == POLICY
    longer = wherry(folder, *(word.replace("2100", "2101") for word in WAIVE))
    assert longer.returncode == 0  # the same one, for longer
    assert (folder / "waiver.json").read_bytes() != first


def test_a_waiver_for_a_digest_that_is_none_is_not_signed(folder: Path, wherry: Wherry) -> None:
    wherry(folder, "keys", "init")
    assert wherry(folder, *WAIVE, "--model", "latest").returncode == 1
    assert not (folder / "waiver.json").exists()


def test_a_blessing_is_verified(folder: Path, wherry: Wherry) -> None:
    wherry(folder, "keys", "init", "--owner", "ann")
    made = Blessing(True, scores().model_digest, scores().data_digest, scores().data_digest, ())
    signed = stamp(made, BLESSING, load_signer(folder / ".wherry" / "keys"))
    signed.write(folder / "blessing.json")
    done = wherry(folder, "gate", "verify", "blessing.json")
    assert done.returncode == 0, done.stderr
    assert "blessed, signed by ann" in done.stdout
    replace(signed, name="other").write(folder / "blessing.json")
    bad = wherry(folder, "gate", "verify", "blessing.json", "--json")
    assert json.loads(bad.stdout)["error"]["code"] == "E_SIGNATURE"


def test_the_schema_is_printed(folder: Path, wherry: Wherry) -> None:
    assert json.loads(wherry(folder, "gate", "schema").stdout)["$defs"]["Policy"]


def test_keys_are_made_listed_rotated_and_revoked(folder: Path, wherry: Wherry) -> None:
    assert wherry(folder, "keys", "list").returncode == 1
    wherry(folder, "keys", "init", "--owner", "ann", "--may", "waiver")
    again = wherry(folder, "keys", "init")
    assert (again.returncode, again.stderr[:10]) == (4, "E_CONFLICT")
    first = json.loads(wherry(folder, "keys", "list", "--json").stdout)["current"]
    second = json.loads(wherry(folder, "keys", "rotate", "--json").stdout)["id"]
    unsaid = wherry(folder, "keys", "revoke", first[:8])
    assert (unsaid.returncode, "--reason" in unsaid.stderr) == (2, True)
    assert wherry(folder, "keys", "revoke", first[:8], "--reason", "lost").returncode == 0
    table = wherry(folder, "keys", "list").stdout
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        [first[:8], "ann", "revoked"],
        ["*", second[:8], "ann"],
    ]
    held = list((folder / ".wherry" / "keys").glob("*.pem"))
    assert [path.stem for path in held] == [second]
    assert stat.S_IMODE(held[0].stat().st_mode) == 0o600


def test_the_first_run_makes_a_key_and_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WHERRY_KEYS", raising=False)
    monkeypatch.setenv("WHERRY_HOME", str(folder / ".wherry"))
    ensure_key(Console(width=200))
    told = capsys.readouterr().out
    made = load_signer().key
    assert f"Made the key {made.short}" in told
    assert str(folder / ".wherry" / "keys") in told
    ensure_key(Console())
    assert (load_signer().key, capsys.readouterr().out) == (made, "")
    KeyFolder(folder / ".wherry" / "keys").revoke(made.id, "lost", datetime.now(UTC))
    with pytest.raises(SigningKeyError):
        ensure_key(Console())


def test_no_key_is_made_where_somebody_set_up_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_KEYS", str(folder / "mounted"))
    with pytest.raises(SigningKeyError, match="There is no key in .*mounted"):
        ensure_key(Console())
    assert not (folder / "mounted").exists()


def test_the_doctor_looks_at_the_keys(folder: Path, wherry: Wherry) -> None:
    def found() -> tuple[bool, str]:
        told = json.loads(wherry(folder, "doctor", "--settings", "none.yaml", "--json").stdout)
        (keys,) = (each for each in told if each["what"] == "keys")
        return keys["ok"], keys["detail"]

    assert found() == (True, "none yet: the first run makes one")
    wherry(folder, "keys", "init", "--owner", "ann")
    ok, detail = found()
    assert (ok, "of ann signs" in detail) == (True, True)
    (private,) = (folder / ".wherry" / "keys").glob("*.pem")
    private.chmod(0o644)
    ok, detail = found()
    assert (ok, "can be read by others" in detail) == (False, True)


def test_a_colleagues_key_is_trusted_for_waivers_alone(
    folder: Path, wherry: Wherry, tmp_path: Path
) -> None:
    (tmp_path / "bob").mkdir()
    wherry(tmp_path / "bob", "keys", "init", "--owner", "bob")
    wherry(folder, "keys", "init", "--owner", "ann")
    ring = str(tmp_path / "bob" / ".wherry" / "keys" / "keyring.json")
    done = wherry(folder, "keys", "trust", ring, "--may", "waiver", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["owner"], told["uri"]) == ("bob", "")
    assert told["may"] == ["application/vnd.wherry.waiver+json"]
    assert wherry(folder, "keys", "trust", ring, "--owner", "carol").returncode == 1
