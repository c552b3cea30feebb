"""Checks that a signed audit log only grew: python3 consistency.py KEY [LATER_KEY] < PROOF.json.

It needs Python alone. KEY is the Ed25519 key that signed the earlier checkpoint, and the later one
too if no other is named; got on another way than the proof.
"""

import base64
import hashlib
import json
import sys
from typing import Any

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


def _signed(envelope: dict[str, Any], key: bytes) -> dict[str, Any]:
    kind, payload = b"application/vnd.wherry.checkpoint+json", base64.b64decode(envelope["payload"])
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    r, s, base = signature[:32], int.from_bytes(signature[32:], "little"), 4 * pow(5, -1, P) % P
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % Q
    a, b = _times(s, _point(base.to_bytes(32, "little"))), _add(_point(r), _times(k, _point(key)))
    same = (a[0] * b[2] - b[0] * a[2]) % P == 0 == (a[1] * b[2] - b[1] * a[2]) % P
    _check(len(signature) == 64 and s < Q and same, "this key did not sign the checkpoint")
    log: dict[str, Any] = json.loads(payload)
    return log


proof, keys = json.load(sys.stdin), [bytes.fromhex(key) for key in sys.argv[1:]]
old, new = _signed(proof["earlier"], keys[0]), _signed(proof["checkpoint"], keys[-1])
_check(0 < old["size"] < new["size"], f"{new['size']} rows are not more than {old['size']}")
at, last, path = old["size"] - 1, new["size"] - 1, [*map(bytes.fromhex, proof["path"])]
if at & old["size"] == 0:  # a whole tree is a subtree of every later one: RFC 9162, 2.1.4.2
    path.insert(0, bytes.fromhex(old["root"].removeprefix("sha256:")))
_check(path, "the path is empty")
while at & 1:
    at, last = at >> 1, last >> 1
before = after = path[0]
for step in path[1:]:
    left = at & 1 or at == last
    before = hashlib.sha256(b"\1" + step + before).digest() if left else before
    after = hashlib.sha256(b"\1" + (step + after if left else after + step)).digest()
    while left and not at & 1 and at:
        at, last = at >> 1, last >> 1
    at, last = at >> 1, last >> 1
roots = [f"sha256:{before.hex()}", f"sha256:{after.hex()}"]
_check(last == 0 and roots == [old["root"], new["root"]], "the later log does not begin as signed")
print(f"the {old['size']} rows of {old['ts']} are the first of the {new['size']} of {new['ts']}")
