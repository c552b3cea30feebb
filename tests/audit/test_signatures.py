"""Whoever looks at a store also learns who signed what its versions were released on."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.logs import ANN, BEGUN, fill, forge, keys, open_log, rewrite
from tests.fakes.people import GATE, keyring, signer_of
from tests.fakes.releases import NAME, POLICY, approve, candidate, judged, unsigned
from wherry.contracts import Approval
from wherry.contracts.blessing import Waiver
from wherry.ledger import Actor, Candidate, Ledger
from wherry.ledger.checkpoints import Signed
from wherry.ledger.events import pair_digest
from wherry.ledger.places import Folder
from wherry.ledger.signatures import Signatures
from wherry.signing import APPROVAL, WAIVER, KeyFolder, Keyring, stamp

BOB = Actor("bob", "human", "os-user")
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two versions in rows 1 and 4; row 7 approves the first."""
    fill(tmp_path)
    with open_log(tmp_path, actor=BOB) as ledger:
        approve(ledger, 1, meaning="reviewed")
    return tmp_path


def looked(folder: Path, ring: Keyring, *held: Signed) -> Signatures:
    """What is found in a store whose chain and tables are whole."""
    with open_log(folder) as ledger:
        assert ledger.verify(held).ok
        return ledger.log.signatures(ring, held)


def registered(folder: Path, change: Callable[[Candidate], Candidate]) -> Path:
    """A store whose one version was released on something else."""
    with open_log(folder) as ledger:
        ledger.register(change(candidate(ledger, folder, b"weights")))
    return folder


def test_all_signatures_of_a_good_store_hold(store: Path) -> None:
    assert looked(store, keyring()) == Signatures(good=3)


def revoked(owner: str, at: datetime) -> Keyring:
    return keyring().revoked(signer_of(owner).key.id, "the laptop was lost", at)


def test_a_key_that_was_revoked_later_undoes_nothing(store: Path) -> None:
    assert looked(store, revoked(GATE, BEGUN + DAY)) == Signatures(good=3, revoked_since=2)


@pytest.mark.parametrize(("owner", "row"), [(GATE, 1), ("bob", 7)])
def test_a_key_that_was_revoked_before_is_named_with_the_row(
    store: Path, owner: str, row: int
) -> None:
    found = looked(store, revoked(owner, BEGUN - DAY))
    assert found.first_bad == row
    assert "was revoked at 2026-02-28" in found.reason


def test_a_key_that_nobody_trusts_is_named_with_the_row(store: Path) -> None:
    found = looked(store, keyring("ann"))
    assert (found.good, found.first_bad) == (2, 7)
    assert f"Audit row 7: the approval of {NAME} v1: It is signed by the key" in found.reason


def test_an_unsigned_blessing_is_bad(tmp_path: Path) -> None:
    found = looked(registered(tmp_path, unsigned), keyring())
    assert (found.good, found.first_bad) == (0, 1)
    assert "is not signed" in found.reason


def test_an_approval_by_who_made_the_version_is_bad(store: Path) -> None:
    # Written past the rules, and chained anew: by the account of the author, then with their key.
    def forged(row: dict[str, Any]) -> None:
        row["actor"] = {**row["actor"], "id": ANN.id}

    forge(store / ".wherry" / "ledger.db", forged, since=7)
    found = looked(store, keyring())
    assert found.first_bad == 7
    assert "it is by ann, who made that version" in found.reason


def test_an_approval_in_the_name_of_another_is_bad(store: Path) -> None:
    with open_log(store, actor=BOB) as ledger:
        blessed = ledger.blessing_of(NAME, 2)
        mine = Approval(
            "", blessed.model_digest, blessed.policy_digest, "ana", "fine", ledger.now()
        )
        ledger.approve(NAME, 2, stamp(mine, APPROVAL, signer_of("bo")))
    found = looked(store, keyring())
    assert found.first_bad == 8
    assert "bo signed it, not ana" in found.reason


def waiver(who: str, signed_by: str) -> Waiver:
    word = Waiver(
        rule="floors.accuracy",
        name=NAME,
        policy_digest=POLICY,
        who=who,
        why="a pilot",
        granted="2026-02-01T00:00:00Z",
        until="2026-04-01T00:00:00Z",
    )
    return stamp(word, WAIVER, signer_of(signed_by))


@pytest.mark.parametrize(("signed_by", "bad"), [("ana", None), ("bo", 1)])
def test_waivers_are_looked_at_too(tmp_path: Path, signed_by: str, bad: int | None) -> None:
    folder = registered(tmp_path, lambda made: judged(made, waivers=(waiver("ana", signed_by),)))
    found = looked(folder, keyring())
    assert (found.good, found.first_bad) == (1 + (bad is None), bad)
    assert ("the waiver of floors.accuracy" in found.reason) == (bad is not None)


def test_a_waiver_is_judged_as_of_when_the_gate_looked_at_it(tmp_path: Path) -> None:
    early = (BEGUN - 3 * DAY).isoformat()
    given = waiver("ana", "ana")
    folder = registered(tmp_path, lambda made: judged(made, waivers=(given,), judged=early))
    assert looked(folder, revoked("ana", BEGUN - DAY)).reason == ""
    assert "was revoked" in looked(folder, revoked("ana", BEGUN - 5 * DAY)).reason


def test_a_good_blessing_of_another_file_is_bad(store: Path) -> None:
    path = store / ".wherry" / "ledger.db"
    with open_log(store) as ledger:
        *_, (_, _, _, record, _) = ledger._tables.raw_versions()
        evidence = replace(ledger.evidence(NAME, 2), blessing=ledger.blessing_of(NAME, 1))
    text = evidence.to_json()
    quoted = text.replace("'", "''")
    rewrite(path, f"UPDATE versions SET evidence = '{quoted}' WHERE version = 2")

    def follow(row: dict[str, Any]) -> None:
        if row["action"] == "register" and row["model"]["version"] == 2:
            row["model"]["record_digest"] = pair_digest(record, text)

    forge(path, follow)
    found = looked(store, keyring())
    assert found.first_bad == 4
    assert "of another file or policy" in found.reason


def test_a_clock_that_ran_behind_makes_no_signature_bad(tmp_path: Path) -> None:
    signer = KeyFolder(tmp_path / "late")
    signer.init("late", datetime.now(UTC))  # after what the store's clock says
    folder = registered(tmp_path, lambda made: judged(made, signer.signer()))
    assert looked(folder, signer.keyring()).reason == ""


def test_a_revoked_key_adds_nothing_behind_a_checkpoint(tmp_path: Path) -> None:
    """Its thief writes a time into the row that is before the revocation."""
    folder = keys(tmp_path)
    fill(tmp_path, 1)
    with Ledger.open(tmp_path / ".wherry", clock=lambda: BEGUN + 2 * DAY) as ledger:
        held = ledger.log.keep([Folder(tmp_path / "out")], folder.signer(), folder.keyring())
    with open_log(tmp_path, actor=ANN) as ledger:
        ledger.register(candidate(ledger, tmp_path, b"of the thief"))
    ring = revoked(GATE, BEGUN + DAY)

    def seen(*held: Signed) -> Signatures:
        with Ledger.open(tmp_path / ".wherry") as ledger:
            return ledger.log.signatures(ring, held)

    assert seen().reason == "", "by the rows' own clocks alone"
    found = seen(held)
    assert (found.good, found.first_bad) == (1, 4)
    assert "was revoked" in found.reason
