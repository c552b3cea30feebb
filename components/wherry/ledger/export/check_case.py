"""Checks every file and signature of the folder that it lies in: python3 check_case.py PUBLIC_KEY.

It needs Python and `pip install cryptography`. PUBLIC_KEY is the Ed25519 key that signed the
folder, got on another way than it; keyring.json, which it signed too, names the others.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HERE, LIST = Path(__file__).resolve().parent, "case.dsse.json"


def _check(holds: object, why: str) -> None:
    if not holds:
        sys.exit(f"NOT AS SIGNED: {why}")


def _opened(what: str, envelope: str, kind: str, keys: list[str]) -> Any:
    """Gives what one of the keys signed (https://github.com/secure-systems-lab/dsse)."""
    _check(envelope, f"{what}: it has no signature")
    read = json.loads(envelope)
    _check(read["payloadType"] == f"application/vnd.{kind}+json", f"{what}: it is something else")
    type, payload = read["payloadType"].encode(), base64.b64decode(read["payload"])
    message = b"DSSEv1 %d %b %d %b" % (len(type), type, len(payload), payload)
    for key in keys:
        for signature in read["signatures"]:
            try:
                public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
                public.verify(base64.b64decode(signature["sig"]), message)
            except (InvalidSignature, ValueError):
                continue
            return json.loads(payload)
    sys.exit(f"NOT AS SIGNED: {what}: none of the keys signed it")


def _check_stamp(what: str, record: dict[str, Any], keys: list[str]) -> None:
    """Checks a record that holds its own signed statement."""
    signed = _opened(what, record["envelope"], record["schema"].partition("/")[0], keys)
    _check(_says({**record, "envelope": ""}, signed), f"{what}: it says other than was signed")


def _says(record: Any, signed: Any) -> bool:
    """Whether a record says all that was signed; a later version may write more fields."""
    if isinstance(record, dict) and isinstance(signed, dict):
        return all(name in record and _says(record[name], signed[name]) for name in signed)
    if isinstance(record, list) and isinstance(signed, list):
        return len(record) == len(signed) and all(map(_says, record, signed))
    return bool(record == signed)


def _read(name: str) -> Any:
    return json.loads((HERE / name).read_bytes())


case = _opened(LIST, (HERE / LIST).read_text("utf-8"), "in-toto", [sys.argv[1]])
listed = {one["name"]: one["digest"]["sha256"] for one in case["subject"]}
there = [path for path in HERE.rglob("*") if not path.is_dir() and path.name != LIST]
found = {
    path.relative_to(HERE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in there
}
for name in sorted({*listed, *found}):
    _check(name in listed, f"{name}: it was added")
    _check(name in found, f"{name}: it is gone")
    _check(listed[name] == found[name], f"{name}: it was changed")
keys = [key["public"] for key in _read("keyring.json")["keys"]]
for file, signed in (("provenance.dsse.json", "in-toto"), ("checkpoint.json", "wherry.checkpoint")):
    _opened(file, (HERE / file).read_text("utf-8"), signed, keys)
blessing = _read("blessing.json")
approvals = _read("approvals.json") if "approvals.json" in found else []
_check_stamp("blessing.json", blessing, keys)
for waiver in blessing["waivers"]:
    _check_stamp(f"the waiver of {waiver['rule']}", waiver, keys)
for approval in approvals:
    _check_stamp(f"the approval of {approval['who']}", approval, keys)
signatures = 4 + len(blessing["waivers"]) + len(approvals)
print(f"{len(found)} files and {signatures} signatures are as they were signed")
