"""Takes secrets out of what is about to be recorded: nothing leaves an append-only log again."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

MARK: Final = "[REDACTED]"
"""What stands where a secret stood."""

_SECRET_NAME: Final = re.compile(
    r"(?i)pass(?:word|wd|phrase|code)|(?:^|[_.-])pwd|secret|credential|private[_-]?key"
    r"|(?:api|access|account|auth|signing|encryption)[_-]?key|authorization|(?:^|[_.-])auth$"
    r"|(?:^|[_.-])(?:(?:access|auth|api|refresh|bearer|id|hf|session|security|github)[_-]?)?token$"
    r"|connection[_-]?string|(?:^|[_.-])(?:sig|signature)$|cookie"
)
"""A field, variable or query parameter whose value is one, whatever it looks like."""
_SECRET_TEXT: Final = tuple(
    re.compile(expression)
    for expression in (
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{30,255}|\bgithub_pat_[A-Za-z0-9_]{40,255}",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent)-[A-Za-z0-9_.-]{20,255}",
        r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,250}",
        r"\bhooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,200}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\bya29\.[A-Za-z0-9_-]{20,}",
        r"\bsk-(?:ant-|proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,250}",
        r"\b(?:hf_|api_org_)[A-Za-z0-9]{30,80}\b",
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}",
        r"\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{50,250}",
        r"\beyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    )
)
"""The forms that providers publish."""
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s@\"']+@(?=[^\s/])")
"""User and password of a URL; a ``@revision`` stands behind a slash."""
# From a word's beginning and without a step back: else time grows with the square of its length.
_PARAMETER: Final = re.compile(
    r"(?<![A-Za-z0-9_.%-])(?P<name>[A-Za-z0-9_.%-]++)(?P<is>=)(?P<value>[^&#;\s\"'<>]+)"
)
_SPOKEN: Final = re.compile(
    r"(?i)(?P<name>\b(?:password|passwd|pwd|passphrase|secret|token|api[ _-]?key|credentials?))"
    r"(?P<is>[\"'`]?\s*(?:[:=]{1,2}|\bis\b)\s*[\"'`]?)(?P<value>[^\s\"'`,;]{6,256})"
)
_BEARER: Final = re.compile(r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9+/._~=-]{8,}")


def redact_text(text: str) -> str:
    """Gives a text without the secrets that can be told from their form or their name.

    Example::

        redact_text("s3://ann:hunter2@host/data?token=abc")
        # "s3://[REDACTED]@host/data?token=[REDACTED]"
    """
    text = _USER_INFO.sub(f"{MARK}@", text)
    for form in _SECRET_TEXT:
        text = form.sub(MARK, text)
    text = _BEARER.sub(rf"\1{MARK}", text)
    text = _PARAMETER.sub(_without_value, text)
    return _SPOKEN.sub(rf"\g<name>\g<is>{MARK}", text)


def redacted(value: Any) -> tuple[Any, tuple[str, ...]]:
    """Gives plain JSON without its secrets, and the names of the fields that held them.

    A text that is JSON itself, as settings are in settings, is looked into.

    Example::

        redacted({"token": "abc", "uri": "s3://bucket"})
        # ({"token": "[REDACTED]", "uri": "s3://bucket"}, ("token",))
    """
    found: list[str] = []
    clean = _walk(value, "", found)
    return clean, tuple(dict.fromkeys(found))


def _walk(value: Any, at: str, found: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _field(str(key), each, at, found) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(each, at, found) for each in value]
    if not isinstance(value, str):
        return value
    inner = _inner(value)
    if inner is not None:
        before = len(found)
        clean = _walk(inner, at, found)
        return json.dumps(clean, ensure_ascii=False) if len(found) > before else value
    clean_text = redact_text(value)
    if clean_text != value:
        found.append(at)
    return clean_text


def _field(name: str, value: Any, at: str, found: list[str]) -> Any:
    path = f"{at}.{name}" if at else name
    if _SECRET_NAME.search(name) and any(True for _ in _leaves(value)):
        found.append(path)
        return MARK
    return _walk(value, path, found)


def _leaves(value: Any) -> Iterator[str]:
    """Yields the texts in a value: a number, a switch or nothing at all is no secret."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)


def _inner(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _without_value(match: re.Match[str]) -> str:
    if _SECRET_NAME.search(match["name"]):
        return f"{match['name']}={MARK}"
    return match[0]
