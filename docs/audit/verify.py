"""Checks that a row is in a signed audit log: python3 verify.py PUBLIC_KEY < PROOF.json.

It needs Python alone. PUBLIC_KEY is an Ed25519 key, got on another way than the proof.
"""

import base64
import hashlib
import json
import sys

P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def _add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:  # RFC 8032, 5.1.4
    r, s = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    t, u = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    return (s - r) * (u - t), (u + t) * (s + r), (u - t) * (u + t), (s - r) * (s + r)


def _times(n: int, at: tuple[int, ...]) -> tuple[int, ...]:
    half = _times(n >> 1, _add(at, at)) if n else (0, 1, 1, 0)
    return _add(half, at) if n & 1 else half


def _point(data: bytes) -> tuple[int, ...]:  # 5.1.3
    y, odd = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    _check(len(data) == 32 and y < P and x * x % P == square, "that is no point of the curve")
    return (x, y, 1, x * y) if x & 1 == odd else (P - x, y, 1, -x * y)


def _check(holds: object, why: str) -> None:
    if not holds:
        sys.exit(f"NOT PROVED: {why}")


proof, key = json.load(sys.stdin), bytes.fromhex(sys.argv[1])
envelope, record = proof["checkpoint"], proof["record"].encode()
kind, payload = b"application/vnd.wherry.checkpoint+json", base64.b64decode(envelope["payload"])
message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
signature = base64.b64decode(envelope["signatures"][0]["sig"])
r, s, base = signature[:32], int.from_bytes(signature[32:], "little"), 4 * pow(5, -1, P) % P
k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % Q
a, b = _times(s, _point(base.to_bytes(32, "little"))), _add(_point(r), _times(k, _point(key)))
same = (a[0] * b[2] - b[0] * a[2]) % P == 0 == (a[1] * b[2] - b[1] * a[2]) % P
_check(len(signature) == 64 and s < Q and same, "this key did not sign the checkpoint")
log, seq = json.loads(payload), json.loads(record)["seq"]
_check(1 <= seq <= log["size"], f"the log that was signed has no row {seq}")
at, last, node = seq - 1, log["size"] - 1, hashlib.sha256(b"\0" + record).digest()
for step in map(bytes.fromhex, proof["path"]):  # RFC 9162, section 2.1.3.2
    left = at & 1 or at == last
    node = hashlib.sha256(b"\1" + (step + node if left else node + step)).digest()
    while left and not at & 1 and at:
        at, last = at >> 1, last >> 1
    at, last = at >> 1, last >> 1
_check(last == 0 and f"sha256:{node.hex()}" == log["root"], f"the row {seq} is not in the log")
print(f"row {seq} is one of the {log['size']} rows that were signed at {log['ts']}")
