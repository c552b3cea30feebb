"""Chains audit rows by their hashes, and finds the first one that does not fit."""

import dataclasses
import json
import re
from typing import Any, Final

import msgspec
import rfc8785

from wherry.contracts import Digest, digest_bytes
from wherry.contracts.errors import StoreError
from wherry.ledger.records import NO_MODEL, AuditRow
from wherry.ledger.redaction import redacted

_ODD_NUMBER: Final = r"-?(?:0\.000000|[0-9]{16}|[0-9.]+(?:[eE]|\.0[,\]}]))"
"""With an exponent or a zero fraction, tiny or huge: RFC 8785 may write it in another way."""
# Two expressions: one with a plain beginning is found ten times as fast as one with a choice.
_ODD_NUMBERS: Final = tuple(re.compile(start + _ODD_NUMBER) for start in ('":', r"[\[,]"))
_NAMES: Final = frozenset(("event_id", "model", "moves"))
"""Fields of checked labels, digests and our own ids: rows are found by them. A model may well be
called ``detect-secret``, and what stands behind such a word is no secret."""
_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder()
_ROWS: Final = msgspec.json.Decoder(AuditRow)


def canonical(value: Any) -> bytes:
    """Gives the one JSON form of a value (RFC 8785), to be hashed.

    Args:
        value: of dicts, lists, strings, numbers below 2**53, booleans and None.
    """
    return rfc8785.dumps(value)


def sealed(row: AuditRow) -> tuple[AuditRow, str]:
    """Gives a row with its hash, and its canonical form; secrets in its texts are taken out."""
    whole = _without_empty(row)
    plain, names = redacted({key: value for key, value in whole.items() if key not in _NAMES})
    plain |= {key: value for key, value in whole.items() if key in _NAMES}
    if names:
        plain["redactions"] = sorted({*row.redactions, *names})
    text = canonical(plain).decode()
    return opened(text, digest_bytes(text.encode())), text


def opened(text: str, hash: Digest) -> AuditRow:
    """Gives the row that `sealed` made the text and the hash of.

    Raises:
        StoreError: if it is a row of a newer version, or none at all.
    """
    try:
        return dataclasses.replace(_ROWS.decode(text), hash=hash)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable(error) from error


def row_of(record: dict[str, Any]) -> AuditRow:
    """Gives the row, without its hash, of an object that `examined` read.

    Raises:
        StoreError: if it is a row of a newer version, or none at all.
    """
    try:
        return msgspec.convert(record, AuditRow)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error


def examined(text: str, hash: Digest, *, seq: int, prev: Digest) -> tuple[dict[str, Any], str]:
    """Gives a stored row as plain JSON, and in words why it does not fit into the chain.

    Args:
        text: the row as stored.
        hash: the hash stored beside it.
        seq: the number that must come next.
        prev: the hash of the row before.

    Returns:
        The object, and an empty text if it fits.
    """
    if digest_bytes(text.encode()) != hash:
        return {}, "its text does not have its hash"
    record = _canonical_object(text)
    if record is None:
        return {}, "it is no canonical JSON"
    if record.get("seq") != seq:
        return record, f"it says that it is number {record.get('seq')!r:.40}"
    if record.get("prev") != prev:
        return record, "it does not name the hash of the row before it"
    return record, ""


def _unreadable(error: Exception) -> StoreError:
    return StoreError(
        f"it is no row of this version: {error}",
        remedy="Run `wherry audit verify`; if a newer version wrote it, install that one.",
    )


def _canonical_object(text: str) -> dict[str, Any] | None:
    """Gives the object that a text is the canonical form of, or None."""
    try:
        if _is_plain(text):
            record = _DECODER.decode(text)
            if isinstance(record, dict) and _ENCODER.encode(record) == text.encode():
                return record
        record = json.loads(text, parse_int=_number)
        return record if isinstance(record, dict) and canonical(record) == text.encode() else None
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return None


def _is_plain(text: str) -> bool:
    """Says whether msgspec writes the text as RFC 8785 does, at a twentieth of the cost."""
    # Escapes differ, and the order of letters beyond the first plane.
    if "\\" in text or "\x7f" in text or not _in_first_plane(text):
        return False
    return not any(odd.search(text) for odd in _ODD_NUMBERS)


def _in_first_plane(text: str) -> bool:
    return text.isascii() or len(text.encode("utf-16-le")) == 2 * len(text)


def _number(digits: str) -> int | float:
    # RFC 8785 writes 1e20 without an exponent, too; beyond 2**53 it knows only such floats.
    return int(digits) if len(digits) < 16 else float(digits)


def _without_empty(row: AuditRow) -> dict[str, Any]:
    # Through JSON text: a number that is not finite becomes null there and nowhere else.
    plain = msgspec.json.decode(msgspec.json.encode(dataclasses.replace(row, hash="")))
    if row.model == NO_MODEL:
        del plain["model"]
    return {key: value for key, value in plain.items() if value not in (None, "", [])}
