"""Rows 16 to 19, 33 and 36 of the fault matrix, on SQLite and on PostgreSQL alike."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.logs import rewrite
from tests.fakes.people import keyring
from tests.fakes.releases import NAME, candidate
from tests.faults.stores import Place
from wherry.contracts import digest_bytes
from wherry.contracts.errors import SigningKeyError, StoreError
from wherry.ledger import CHAMPION, Verification, canonical
from wherry.ledger.checkpoints import Signed, opened
from wherry.ledger.export.case import export_case
from wherry.ledger.places import Folder
from wherry.signing import KeyFolder, Keyring

pytestmark = pytest.mark.faults


@pytest.fixture
def keys(place: Place) -> KeyFolder:
    """The workspace's keys."""
    folder = KeyFolder(place.state / "keys")
    folder.init("ann", datetime(2026, 1, 1, tzinfo=UTC))
    return folder


def sign(place: Place, keys: KeyFolder) -> Signed:
    """Signs the log as it stands, and keeps that outside of the store."""
    with place.open() as ledger:
        return ledger.log.keep([outside(place)], keys.signer(), keys.keyring())


def outside(place: Place) -> Folder:
    return Folder(place.folder / "outside")


def verify(place: Place, *signed: Signed) -> Verification:
    with place.open() as ledger:
        return ledger.verify(signed)


def tamper(place: Place, *statements: str) -> None:
    """Changes the tables as somebody who owns the database."""
    if place.url:
        import psycopg

        with psycopg.connect(place.url) as server:
            for table in ("audit", "versions"):
                server.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")  # type: ignore[arg-type]
            for statement in statements:
                server.execute(statement)  # type: ignore[arg-type]  # a test's own text
            for table in ("audit", "versions"):
                server.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")  # type: ignore[arg-type]
        return
    rewrite(place.state / "ledger.db", *statements)


def rewritten(place: Place, change: Callable[[dict[str, Any]], None]) -> list[str]:
    """Statements that change every row and chain them anew."""
    with place.open() as ledger:
        texts = [ledger.log.text(row.seq) for row in ledger.audit()]
    statements, prev = [], ""
    for seq, text in enumerate(texts, 1):
        record = json.loads(text)
        change(record)
        record["prev"] = prev or record["prev"]
        new = canonical(record).decode()
        prev = digest_bytes(new.encode())
        quoted = new.replace("'", "''")
        statements.append(
            f"UPDATE audit SET record = '{quoted}', hash = '{prev}' WHERE seq = {seq}"
        )
    return statements


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        (["UPDATE audit SET record = replace(record, 'v', 'w') WHERE seq = 3"], 3),
        (["DELETE FROM audit WHERE seq = 2"], 2),
        (
            [
                "UPDATE audit SET seq = 99 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 4",
                "UPDATE audit SET seq = 4 WHERE seq = 99",
            ],
            2,
        ),
    ],
    ids=["edited", "deleted", "reordered"],
)
def test_row_16_the_first_bad_row_is_named(
    place: Place, statements: list[str], first_bad: int
) -> None:
    place.fill(5)
    tamper(place, *statements)
    found = verify(place)
    assert (found.ok, found.first_bad) == (False, first_bad)


def test_row_17_a_tail_that_was_cut_is_found_by_the_checkpoint(
    place: Place, keys: KeyFolder
) -> None:
    place.fill(5)
    signed = sign(place, keys)
    tamper(place, "DELETE FROM audit WHERE seq > 3", "DELETE FROM versions WHERE version > 3")
    assert verify(place).ok, "nothing in the store itself tells"
    found = verify(place, signed)
    assert (found.ok, found.first_bad) == (False, 4)
    with pytest.raises(StoreError, match="has 3 rows, but 5 were signed"):
        sign(place, keys)


def test_row_18_a_log_that_was_rewritten_whole_is_found(place: Place, keys: KeyFolder) -> None:
    place.fill(5)
    signed = sign(place, keys)
    tamper(place, *rewritten(place, lambda row: row["actor"].update(id="eve")))
    assert verify(place).ok, "nothing in the store itself tells"
    found = verify(place, signed)
    assert (found.ok, found.first_bad) == (False, 1)


def test_row_19_a_wrong_missing_or_revoked_key_is_no_pass(place: Place, keys: KeyFolder) -> None:
    place.fill(1)
    envelope = sign(place, keys).envelope
    other = KeyFolder(place.folder / "other")
    with pytest.raises(SigningKeyError, match="no key"):
        opened(envelope, other.keyring())
    other.init("eve", datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(SigningKeyError, match="not trusted"):
        opened(envelope, other.keyring())
    keys.revoke(keys.keyring().current, "lost", datetime.now(UTC))
    with pytest.raises(SigningKeyError, match="revoked"):
        opened(envelope, keys.keyring())
    with pytest.raises(SigningKeyError):
        sign(place, keys)
    assert len(outside(place).names()) == 1


def test_row_19_what_no_trusted_key_signed_is_named(place: Place) -> None:
    place.fill(3)
    with place.open() as ledger:
        assert ledger.log.signatures(keyring()).good == 3
        assert ledger.log.signatures(Keyring()).first_bad == 1
    tamper(place, "UPDATE audit SET event_id = 'another' WHERE seq = 2")
    found = verify(place)
    assert (found.ok, found.first_bad) == (False, 2)
    assert "not found by its event" in found.reason


def test_row_33_a_secret_is_in_no_table(place: Place) -> None:
    secret = "hunter2-correct-horse"
    with place.open() as ledger:
        given = candidate(ledger, place.folder, b"one")
        lineage = replace(given.lineage, base_uri=f"https://ann:{secret}@host/base")
        settings = json.dumps({"tune_settings": json.dumps({"api_key": secret})})
        ledger.register(replace(given, lineage=lineage, settings=settings))
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason=f"token={secret}")
        kept = [ledger.log.text(row.seq) for row in ledger.audit()]
        kept += [ledger.find(NAME, 1).to_json(), ledger.evidence(NAME, 1).to_json()]
        assert ledger.evidence(NAME, 1).redactions == ("settings.tune_settings.api_key",)
        assert ledger.verify().ok
    assert not [text for text in kept if secret in text]


def test_row_36_without_a_network_the_audit_works(
    sqlite_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoNetwork(socket.socket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("the network is off")

    monkeypatch.setattr(socket, "socket", NoNetwork)
    place = sqlite_place
    keys = KeyFolder(place.state / "keys")
    keys.init("ann", datetime(2026, 1, 1, tzinfo=UTC))
    place.fill(2)
    with place.open() as ledger:
        for version, generation in ((1, 0), (2, 1)):
            ledger.switch(CHAMPION, NAME, version, expected_generation=generation, reason="on")
        ledger.switch(CHAMPION, NAME, 1, expected_generation=2, reason="back", action="rollback")
    signed = sign(place, keys)
    assert verify(place, signed).checkpoints == 1
    with place.open() as ledger:
        ledger.log.prove(1, signed)
        case = export_case(
            *(ledger, NAME, 1, place.folder / "case"),
            places=[outside(place)],
            signer=keys.signer(),
            keyring=keys.keyring(),
        )
    assert Path(place.folder / "case" / "README.md").is_file()
    assert len(case.files) > 10
