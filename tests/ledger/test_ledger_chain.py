"""Tampering with the audit rows or the tables is found, and the first bad row is named."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.fakes.logs import rewrite
from tests.fakes.releases import NAME, candidate, unsigned
from wherry.contracts import Deployment, digest_bytes
from wherry.contracts.errors import GateRefusedError
from wherry.ledger import CHAMPION, Actor, Circumstances, Ledger, canonical

GOLDEN = Path(__file__).parent / "goldens" / "audit-1.jsonl"
README = Path("components/wherry/ledger/README.md")
ACTOR = Actor(id="ann", kind="human", authenticated="os-user")


def open_ledger(folder: Path, step: timedelta = timedelta(minutes=1)) -> Ledger:
    """A store whose clock and ids are the same at each run."""
    hours, ids = count(), count(1)
    return Ledger.open(
        folder / ".wherry",
        actor=ACTOR,
        clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC) + next(hours) * step,
        new_id=lambda: f"event-{next(ids)}",
        circumstances=Circumstances,
    )


def filled(folder: Path, step: timedelta = timedelta(minutes=1)) -> Path:
    """Writes six rows, and gives the file: two versions, two moves, two deployments."""
    with open_ledger(folder, step) as ledger:
        for version, content in enumerate((b"one", b"two"), 1):
            release = ledger.register(unsigned(candidate(ledger, folder, content)))
            generation = ledger.switch(
                CHAMPION, NAME, version, expected_generation=version - 1, reason="better"
            )
            ledger.record_deployment(
                Deployment(NAME, version, release.digest, "local", "http://x", generation, True)
            )
    return folder / ".wherry" / "ledger.db"


def stored(path: Path) -> list[tuple[int, str, str]]:
    """Gives seq, hash and text of the rows, read by plain SQL."""
    with sqlite3.connect(path) as db:
        return db.execute("SELECT seq, hash, record FROM audit ORDER BY seq").fetchall()


def test_the_rows_are_those_of_the_golden_file(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lines = [json.dumps([hash, text]) for _, hash, text in stored(filled(tmp_path))]
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--update-goldens"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "refresh with --update-goldens if the change is meant"


def test_a_reader_without_wherry_can_check_the_chain() -> None:
    prev = "sha256:" + 64 * "0"
    for seq, line in enumerate(GOLDEN.read_text().splitlines(), 1):
        hash, text = json.loads(line)
        record = json.loads(text)
        assert hash == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        assert (record["seq"], record["prev"]) == (seq, prev)
        assert canonical(record) == text.encode()
        prev = hash


def test_the_readmes_reader_accepts_the_store_and_finds_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = README.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    path = filled(tmp_path)
    exec(code, {})
    rewrite(path, EDITED)
    with pytest.raises(AssertionError, match="row 2 was edited"):
        exec(code, {})


def test_an_untouched_store_verifies(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with open_ledger(tmp_path) as ledger:
        found = ledger.verify()
        assert found.ok
        assert (found.rows, found.head) == (6, stored(path)[-1][1])
        assert [(row.seq, row.hash) for row in ledger.audit()] == [
            (seq, hash) for seq, hash, _ in stored(path)
        ]


def test_an_empty_store_verifies(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        assert ledger.verify().ok
        assert ledger.verify().rows == 0


def test_a_clock_that_runs_backwards_changes_no_order(tmp_path: Path) -> None:
    filled(tmp_path, step=timedelta(days=-1))
    with open_ledger(tmp_path) as ledger:
        assert ledger.verify().ok
        assert [row.seq for row in ledger.audit()] == [1, 2, 3, 4, 5, 6]
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live and live.version == 2


EDITED = "UPDATE audit SET record = replace(record, 'better', 'bribed') WHERE seq = 2"


def rehash(path: Path) -> str:
    """A statement that gives the edited second row the hash that fits it."""
    text = stored(path)[1][2].replace("better", "bribed")
    return f"UPDATE audit SET hash = '{digest_bytes(text.encode())}' WHERE seq = 2"


@pytest.mark.parametrize(
    ("statements", "first_bad", "told"),
    [
        ([EDITED], 2, "does not have its hash"),
        ([EDITED, rehash], 3, "hash of the row before"),
        (["DELETE FROM audit WHERE seq = 3"], 3, "its number is 4"),
        (["DELETE FROM audit WHERE seq = 1"], 1, "its number is 2"),
        (["UPDATE audit SET seq = seq + 10 WHERE seq = 4"], 4, "its number is 5"),
        (
            [
                "UPDATE audit SET seq = 99 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 5",
                "UPDATE audit SET seq = 5 WHERE seq = 99",
            ],
            2,
            "says that it is number 5",
        ),
        (["UPDATE audit SET record = record || ' ' WHERE seq = 4"], 4, "does not have its hash"),
        (["DELETE FROM audit WHERE seq > 3"], 4, "as no audit row recorded it"),
    ],
)
def test_an_edited_log_names_its_first_bad_row(
    tmp_path: Path,
    statements: list[str | Callable[[Path], str]],
    first_bad: int,
    told: str,
) -> None:
    path = filled(tmp_path)
    rewrite(path, *(one if isinstance(one, str) else one(path) for one in statements))
    with open_ledger(tmp_path) as ledger:
        found = ledger.verify()
    assert not found.ok
    assert found.first_bad == first_bad
    assert told in found.reason


@pytest.mark.parametrize(
    ("statement", "row", "told"),
    [
        ("UPDATE aliases SET version = 1 WHERE alias = 'champion'", 5, "champion of icd10-triage"),
        ("UPDATE aliases SET generation = 7 WHERE alias = 'previous'", 5, "generation 7"),
        ("DELETE FROM aliases WHERE alias = 'champion'", 5, "is gone"),
        ("INSERT INTO aliases VALUES ('icd10-triage', 'prod', 1, 1)", 7, "no audit row"),
        (
            "UPDATE versions SET evidence = replace(evidence, '252', '999') WHERE version = 2",
            4,
            "not as audit row 4 recorded it",
        ),
        ("UPDATE versions SET digest = 'sha256:00' WHERE version = 1", 1, "not as audit row 1"),
        ("DELETE FROM versions WHERE version = 1", 1, "is gone"),
        ("UPDATE deployments SET record = replace(record, 'http', 'ftp')", 3, "deployment"),
        ("DELETE FROM deployments WHERE seq = 6", 6, "is gone"),
    ],
)
def test_a_table_that_the_log_contradicts_is_found(
    tmp_path: Path, statement: str, row: int, told: str
) -> None:
    rewrite(filled(tmp_path), statement)
    with open_ledger(tmp_path) as ledger:
        found = ledger.verify()
    assert (found.ok, found.first_bad) == (False, row)
    assert told in found.reason


@pytest.mark.parametrize(
    "forgery",
    [
        """replace(evidence, '"passed": true', '"passed": false')""",
        f"replace(evidence, '{digest_bytes(b'two')}', '{digest_bytes(b'else')}')",
    ],
)
def test_a_version_whose_blessing_was_edited_cannot_go_live(tmp_path: Path, forgery: str) -> None:
    path = filled(tmp_path)
    with Ledger.open(tmp_path / ".wherry") as ledger:
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="back")
        rewrite(path, f"UPDATE versions SET evidence = {forgery} WHERE version = 2")
        with pytest.raises(GateRefusedError, match="v2 has no blessing"):
            ledger.switch(CHAMPION, NAME, 2, expected_generation=3, reason="again")
        at = ledger.alias(NAME, CHAMPION)
        assert at and at.version == 1


def reforged(path: Path, change: Callable[[dict[str, object]], None], at: int) -> list[str]:
    """Statements that change one row and hash all that follow anew, as a forger would."""
    statements, prev = [], None
    for seq, hash, text in stored(path):
        record = json.loads(text)
        if seq == at:
            change(record)
        record["prev"] = prev or record["prev"]
        new = canonical(record).decode()
        prev = digest_bytes(new.encode())
        quoted = new.replace("'", "''")
        if (prev, new) != (hash, text):
            statements.append(
                f"UPDATE audit SET record = '{quoted}', hash = '{prev}' WHERE seq = {seq}"
            )
    return statements


@pytest.mark.parametrize(
    ("change", "at", "told"),
    [
        (lambda row: row["moves"][0].update(generation=9), 2, "from generation 0 to 9"),
        (lambda row: row["moves"][0].update(version=9), 5, "points at version 9"),
        (lambda row: row["model"].update(version=3), 4, "version 3 of icd10-triage is out"),
        (lambda row: row["model"].update(name="other"), 5, "never registered"),
    ],
)
def test_a_forged_log_must_still_keep_the_rules(
    tmp_path: Path, change: Callable[[dict[str, object]], None], at: int, told: str
) -> None:
    path = filled(tmp_path)
    rewrite(path, *reforged(path, change, at))
    with open_ledger(tmp_path) as ledger:
        found = ledger.verify()
    assert (found.ok, found.first_bad) == (False, at)
    assert told in found.reason


def test_a_log_forged_without_a_flaw_has_another_head(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with open_ledger(tmp_path) as ledger:
        noted = ledger.verify().head
    rewrite(path, *reforged(path, lambda row: row.update(reason="bribed"), 2))
    with open_ledger(tmp_path) as ledger:
        assert ledger.verify().head != noted


@pytest.mark.parametrize("bad", ["not json", "[1, 2]", '{"seq":1, "prev":"x"}', '{"a":NaN}'])
def test_a_row_that_is_no_canonical_json_is_named(tmp_path: Path, bad: str) -> None:
    path = filled(tmp_path)
    hash = digest_bytes(bad.encode())
    rewrite(path, f"UPDATE audit SET record = '{bad}', hash = '{hash}' WHERE seq = 1")
    with open_ledger(tmp_path) as ledger:
        found = ledger.verify()
    assert (found.ok, found.first_bad) == (False, 1)
    assert "no canonical JSON" in found.reason
