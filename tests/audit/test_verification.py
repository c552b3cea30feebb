"""What else a store may hold that its log does not tell, and rows that only look like rows."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.logs import fill, forge, lengthen, open_log, rewrite
from tests.fakes.releases import NAME, approve, candidate, judged
from wherry.contracts import digest_bytes
from wherry.contracts.errors import StoreError
from wherry.ledger import CHALLENGER, Actor, Verification, canonical
from wherry.ledger.chain import examined
from wherry.ledger.records import GENESIS
from wherry.ledger.tree import Tree


@pytest.fixture
def standing(tmp_path: Path) -> Path:
    """Two versions, live in turn; the first was approved, and then retired for good."""
    path = fill(tmp_path, 3)
    with open_log(tmp_path, actor=Actor("bob", "human", "os-user")) as ledger:
        approve(ledger, 1, meaning="reviewed and released for use")
        ledger.withdraw(NAME, 1, "revoke", reason="unfit")
    return path


def verified(path: Path) -> Verification:
    with open_log(path.parents[1]) as ledger:
        return ledger.verify()


def test_approvals_and_states_agree_with_their_rows(standing: Path) -> None:
    assert verified(standing).ok


@pytest.mark.parametrize(
    ("statement", "row", "told"),
    [
        ("UPDATE approvals SET record = replace(record, 'bob', 'eve')", 10, "approval"),
        ("DELETE FROM approvals", 10, "approval of audit row 10 is gone"),
        ("UPDATE states SET state = 'registered'", 11, "state"),
        ("UPDATE states SET version = 2", 11, "state"),
        ("DELETE FROM states", 11, "state of audit row 11 is gone"),
        ("UPDATE approvals SET version = 2", 10, "approval"),
        ("UPDATE deployments SET target = 'other' WHERE seq = 9", 9, "another model or target"),
        ("UPDATE deployments SET name = 'other' WHERE seq = 6", 6, "another model or target"),
        ("UPDATE deployments SET version = 1 WHERE seq = 6", 6, "another model or target"),
        ("UPDATE deployments SET generation = 9 WHERE seq = 6", 6, "another model or target"),
        ("UPDATE deployments SET record = CAST(record AS BLOB) WHERE seq = 6", 6, "deployment"),
        ("UPDATE approvals SET record = CAST(record AS BLOB)", 10, "approval"),
        ("UPDATE audit SET event_id = 'x' WHERE seq = 7", 7, "not found by its event"),
        ("UPDATE audit SET event_id = 'x' WHERE seq = 8", 8, "not found by its event"),
    ],
)
def test_a_table_that_was_changed_beside_its_rows_is_found(
    standing: Path, statement: str, row: int, told: str
) -> None:
    rewrite(standing, statement)
    found = verified(standing)
    assert (found.ok, found.first_bad) == (False, row)
    assert told in found.reason


def test_a_row_that_a_damaged_index_hides_is_found(standing: Path) -> None:
    # Sorted by one order, read by another: a revoked version would be found to be none.
    hidden = "CREATE INDEX states_of_a_version ON states (name, version)"
    rewrite(
        *(standing, "DROP INDEX states_of_a_version", "PRAGMA writable_schema = ON"),
        "CREATE INDEX states_of_a_version ON states (version, name)",
        f"UPDATE sqlite_master SET sql = '{hidden}' WHERE name = 'states_of_a_version'",
    )
    with open_log(standing.parents[1]) as ledger:
        assert ledger.find(NAME, 1).state == "registered", "the index hides it"
    found = verified(standing)
    assert (found.ok, found.first_bad) == (False, 11)
    assert "damaged index" in found.reason


def test_a_withdrawn_version_that_a_forged_row_brings_back_is_found(standing: Path) -> None:
    with open_log(standing.parents[1]) as ledger:
        ledger.switch(CHALLENGER, NAME, 2, expected_generation=0, reason="on trial")

    def forged(row: dict[str, Any]) -> None:
        row["moves"] = [{"alias": "champion", "generation": 4, "version": 1}]

    forge(standing, forged, since=12)
    found = verified(standing)
    assert (found.ok, found.first_bad) == (False, 12)
    assert "champion points at version 1, revoked in row 11" in found.reason


def test_an_unapproved_version_that_a_forger_puts_live_is_found(tmp_path: Path) -> None:
    path = fill(tmp_path, 1)
    with open_log(tmp_path) as ledger:
        made = candidate(ledger, tmp_path, b"another one")
        ledger.register(judged(made, required_approvals=("medical",)))
        ledger.switch(CHALLENGER, NAME, 2, expected_generation=0, reason="on trial")
        assert ledger.verify().ok, "a challenger needs no approval"

    def forged(row: dict[str, Any]) -> None:
        row["moves"] = [{"alias": "champion", "generation": 2, "version": 2}]

    forge(path, forged, since=5)
    rewrite(
        *(path, "DELETE FROM aliases WHERE alias = 'challenger'"),
        "UPDATE aliases SET version = 2, generation = 2",
    )
    found = verified(path)
    assert (found.ok, found.first_bad) == (False, 5)
    assert "champion of icd10-triage points at version 2, but" in found.reason
    assert "asks for the approval of medical" in found.reason


def test_a_row_of_an_unknown_kind_is_named_and_breaks_nothing_else(tmp_path: Path) -> None:
    path = fill(tmp_path, 1)
    forge(path, lambda row: row.update(action="bless"), since=3)
    found = verified(path)
    assert (found.ok, found.first_bad) == (False, 3)
    assert "no row of this version" in found.reason


@pytest.mark.parametrize("action", ["stage", "register"])
def test_a_row_that_should_move_nothing_moves_nothing(tmp_path: Path, action: str) -> None:
    path = fill(tmp_path, 2)
    moves = [{"alias": "champion", "version": 1, "generation": 3}]

    def forged(row: dict[str, Any]) -> None:
        if row["seq"] == 4:
            row.update(action=action, moves=moves)

    forge(path, forged, since=4)
    found = verified(path)
    assert (found.ok, found.first_bad) == (False, 4)
    assert f"a row of the kind {action} moves" in found.reason


@pytest.mark.parametrize("column", ["record", "hash", "event_id"])
@pytest.mark.parametrize("damaged", ["X'00FF'", "CAST(X'41FF' AS TEXT)"], ids=["blob", "text"])
def test_bytes_in_place_of_a_text_are_named_and_break_nothing(
    tmp_path: Path, column: str, damaged: str
) -> None:
    path = fill(tmp_path, 1)
    rewrite(path, f"UPDATE audit SET {column} = {damaged} WHERE seq = 2")
    found = verified(path)
    assert (found.ok, found.first_bad) == (False, 2)


@pytest.mark.parametrize("seq", [1, 2])
def test_whoever_reads_a_damaged_row_is_told_which(tmp_path: Path, seq: int) -> None:
    path = fill(tmp_path, 1)
    damaged = "CAST(X'7BFF' || substr(CAST(record AS BLOB), 3) AS TEXT)"
    rewrite(path, f"UPDATE audit SET record = {damaged} WHERE seq = {seq}")
    with open_log(tmp_path) as ledger:
        reads = (lambda: list(ledger.audit()), ledger.log.checkpoint, lambda: ledger.log.text(seq))
        for read in reads:
            with pytest.raises(StoreError, match=f"audit row {seq} holds bytes"):
                read()


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two whole blocks and three rows, with the hashes of both."""
    folder = tmp_path_factory.mktemp("blocks")
    lengthen(folder, 515)
    with open_log(folder) as ledger:
        Tree.of(ledger._tables)
        assert ledger.verify().ok
    return folder


@pytest.mark.parametrize(
    ("statements", "first_bad", "told"),
    [
        (["DELETE FROM audit WHERE seq > 500"], 501, "a hash is kept of later ones"),
        (["DELETE FROM blocks WHERE number = 0"], 1, "those after it is gone"),
        (["UPDATE blocks SET number = 9 WHERE number = 1"], 257, "those after it is gone"),
    ],
)
def test_hashes_of_blocks_that_do_not_fit_the_rows_are_found(
    blocks: Path, tmp_path: Path, statements: list[str], first_bad: int, told: str
) -> None:
    shutil.copytree(blocks, tmp_path / "copy")
    path = tmp_path / "copy" / ".wherry" / "ledger.db"
    rewrite(path, *statements)
    found = verified(path)
    assert (found.ok, found.first_bad) == (False, first_bad)
    assert told in found.reason


def flaw(text: str) -> str:
    return examined(text, digest_bytes(text.encode()), seq=1, prev=GENESIS)[1]


@pytest.mark.parametrize(
    "value",
    [
        *(1.0, 1e-7, 1e-6, 9.4e-06, 1e20, 1e21, 1e22, 123456789012345680.0, -0.5, 0.1, 2**53 - 1),
        *("\\", '"', "\n", "\x1f", "\x7f", "é", "€", "🚣", "\u2028", "a/b", "\ufffd"),
        *({"é": 1, "z": 2, "🚣": 3, "\ufffd": 4}, [1.5, [2.0, {}]], None, True),
    ],
)
def test_what_is_canonical_is_taken_whatever_it_holds(value: object) -> None:
    record = {"seq": 1, "prev": GENESIS, "value": value}
    assert flaw(canonical(record).decode()) == ""


@pytest.mark.parametrize(
    "value",
    ["1.0", "1E3", "1e5", "1.50", "01", "-0", "1e-06", '"\\u0041"', '"\\/"', "9007199254740993"],
)
def test_what_is_another_form_of_the_same_is_refused(value: str) -> None:
    text = f'{{"prev":"{GENESIS}","seq":1,"value":{value}}}'
    assert flaw(text) == "it is no canonical JSON"


@pytest.mark.parametrize(
    "text",
    [
        '{"seq":1,"prev":"x"}',
        f'{{"prev":"{GENESIS}","seq":1,"seq":1}}',
        f'{{"prev":"{GENESIS}", "seq":1}}',
        "[" * 100_000,
        '{"a":' * 50_000,
        json.dumps({"prev": GENESIS, "seq": 1, "n": float("nan")}, separators=(",", ":")),
        f'{{"n":{"9" * 5000},"prev":"{GENESIS}","seq":1}}',
        "",
        "1",
    ],
    ids=["order", "twice", "space", "nested list", "nested", "NaN", "5,000 digits", "", "number"],
)
def test_what_is_no_canonical_object_is_refused_and_never_crashes(text: str) -> None:
    assert flaw(text) == "it is no canonical JSON"


def test_rules_that_the_database_no_longer_keeps_are_told(standing: Path) -> None:
    with sqlite3.connect(standing) as db:
        db.execute("DROP TRIGGER audit_kept")
        db.execute("DROP TRIGGER versions_immutable")
    found = verified(standing)
    assert (found.ok, found.first_bad, found.rows) == (False, None, 11)
    assert "triggers are gone or switched off: audit_kept, versions_immutable." in found.reason
