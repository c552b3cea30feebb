"""A second reader of the audit trail, written from docs/audit/README.md alone.

It imports nothing of Wherry. python second_reader.py LEDGER.db [CHECKPOINT.json KEYRING.json]
"""

import base64
import hashlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TYPE = "application/vnd.wherry.checkpoint+json"


class BadError(Exception):
    """What does not hold, and where."""


def rows_of(path: str) -> list[tuple[int, str, str]]:
    with sqlite3.connect(path) as db:
        return db.execute("SELECT seq, hash, record FROM audit ORDER BY seq").fetchall()


def check_chain(rows: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
    """Rows: the hash of the text, the number, the hash of the row before."""
    prev, records = "sha256:" + 64 * "0", []
    for expected, (seq, hashed, text) in enumerate(rows, 1):
        record = json.loads(text)
        if hashed != "sha256:" + hashlib.sha256(text.encode()).hexdigest():
            raise BadError(f"row {expected}: hash")
        if not seq == record["seq"] == expected:
            raise BadError(f"row {expected}: number")
        if record["prev"] != prev:
            raise BadError(f"row {expected}: prev")
        if any(value in (None, "", []) for value in record.values()):
            raise BadError(f"row {expected}: an empty field was written")
        prev = hashed
        records.append(record)
    return records


def replayed(records: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """What the rows say of the store: alias → version and generation."""
    versions: dict[str, int] = {}
    aliases: dict[tuple[str, str], tuple[int, int]] = {}
    for record in records:
        if "model" not in record or record["action"] == "stage":
            continue
        name, version = record["model"]["name"], record["model"]["version"]
        if record["action"] == "register":
            if version != versions.get(name, 0) + 1:
                raise BadError(f"row {record['seq']}: version")
            versions[name] = version
        if not 1 <= version <= versions.get(name, 0):
            raise BadError(f"row {record['seq']}: never registered")
        for move in record.get("moves", []):
            _, before = aliases.get((name, move["alias"]), (0, 0))
            if move["generation"] != before + 1:
                raise BadError(f"row {record['seq']}: generation")
            aliases[name, move["alias"]] = move["version"], move["generation"]
    return aliases


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if len(leaves) <= 1:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def opened(path: str, keyring: str) -> dict[str, Any]:
    """A checkpoint that a key of the keyring signed."""
    envelope, ring = (json.loads(Path(file).read_bytes()) for file in (path, keyring))
    payload = base64.b64decode(envelope["payload"])
    message = f"DSSEv1 {len(TYPE)} {TYPE} {len(payload)} ".encode() + payload
    for key in ring["keys"]:
        for signature in envelope["signatures"]:
            try:
                public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key["public"]))
                public.verify(base64.b64decode(signature["sig"]), message)
            except InvalidSignature:
                continue
            if key["revoked_at"]:
                raise BadError("checkpoint: a revoked key")
            found: dict[str, Any] = json.loads(payload)
            return found
    raise BadError("checkpoint: no trusted key signed it")


def main(path: str, checkpoint: str = "", keyring: str = "") -> None:
    rows = rows_of(path)
    told = replayed(check_chain(rows))
    with sqlite3.connect(path) as db:
        kept = db.execute("SELECT name, alias, version, generation FROM aliases").fetchall()
    if {(name, alias): (version, at) for name, alias, version, at in kept} != told:
        raise BadError("aliases: not what the rows say")
    if checkpoint:
        signed = opened(checkpoint, keyring)
        size = signed["size"]
        if len(rows) < size:
            raise BadError(f"row {len(rows) + 1}: signed, and gone")
        whole = root([text.encode() for _, _, text in rows[:size]])
        if signed["root"] != "sha256:" + whole.hex():
            raise BadError(f"rows 1 to {size}: not those that were signed")
        if (signed["log"], signed["head"]) != (rows[0][1], rows[size - 1][1]):
            raise BadError("checkpoint: of another log")
    print(f"{len(rows)} rows hold")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BadError as error:
        sys.exit(str(error))
