"""Chains audit rows by their hashes, and finds the first one that does not fit."""

import dataclasses
import json
from typing import Any

import msgspec
import rfc8785

from wherry.contracts import Digest, digest_bytes
from wherry.ledger.records import AuditRow


def canonical(value: Any) -> bytes:
    """Gives the one JSON form of a value (RFC 8785), to be hashed.

    Args:
        value: of dicts, lists, strings, numbers below 2**53, booleans and None.
    """
    return rfc8785.dumps(value)


def sealed(row: AuditRow) -> tuple[AuditRow, str]:
    """Gives a row with its hash, and its canonical form."""
    text = canonical(_without_empty(row))
    return dataclasses.replace(row, hash=digest_bytes(text)), text.decode()


def opened(text: str, hash: Digest) -> AuditRow:
    """Gives the row that `sealed` made the text and the hash of."""
    return dataclasses.replace(msgspec.json.decode(text, type=AuditRow), hash=hash)


def flaw(text: str, hash: Digest, *, seq: int, prev: Digest) -> str:
    """Says in words why a stored row does not fit into the chain; empty if it does.

    It reads the text as plain JSON, so that rows of an older or newer schema are checked too.

    Args:
        text: the row as stored.
        hash: the hash stored beside it.
        seq: the number that must come next.
        prev: the hash of the row before.
    """
    if digest_bytes(text.encode()) != hash:
        return "its text does not have its hash"
    try:
        record = json.loads(text)
        form = canonical(record).decode()
    except (ValueError, rfc8785.CanonicalizationError):
        return "it is no canonical JSON"
    if form != text or not isinstance(record, dict):
        return "it is no canonical JSON"
    if record.get("seq") != seq:
        return f"it says that it is number {record.get('seq')}"
    if record.get("prev") != prev:
        return "it does not name the hash of the row before it"
    return ""


def _without_empty(row: AuditRow) -> dict[str, Any]:
    # Through JSON text: a number that is not finite becomes null there and nowhere else.
    plain = msgspec.json.decode(msgspec.json.encode(dataclasses.replace(row, hash="")))
    return {key: value for key, value in plain.items() if value not in (None, "", [])}
