"""Turns numbers and names into the words that a person reads."""

import math
import unicodedata
from datetime import UTC, datetime
from typing import Final, TypeGuard

MISSING: Final = "\N{EM DASH}"
"""Stands where a number could not be measured."""
NBSP: Final = "\N{NO-BREAK SPACE}"

_MINUS: Final = "\N{MINUS SIGN}"
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DASH: Final = "\N{EN DASH}"
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT: Final = frozenset("\n\t\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
"""Of these, what a text may hold: emoji and several scripts are written with the joiners."""
_METRICS: Final = {
    "accuracy": "Accuracy, free answer",
    "label_accuracy": "Accuracy, likeliest label",
    "macro_f1": "Macro-F1",
    "f1": "F1",
    "exact_match": "Exact match",
    "token_f1": "Token F1",
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "valid_json": "Valid JSON",
    "schema_valid": "Valid by the JSON schema",
    "size": "File size",
    "peak_memory": "Peak memory",
    "decode_speed": "Decoding speed",
    "first_token": "Time to first token",
    "first_token_p95": "Time to first token, 95th percentile",
    "latency_p95": "Latency, 95th percentile",
    "pii_leak_rate": "PII leak rate",
    "next_token_agreement": "Same next token",
    "same_data": "Scored on the same data",
    "same_data_as_champion": "Scored on the champion's data",
    "same_model": "Scores of this very file",
    "same_file": "Scores of this very file",
    "one_value": "Each number told once",
    "verified_model": "Model re-hashed",
    "data_age": "Age of the newest row",
    "holding": "Alternatives that hold",
    "same_template": "Asked through the same template",
    "split": "Scored on the held-out split",
}
_BARE: Final = frozenset({"kl", "loss", "perplexity", "rows", "divergence"})
"""Words in the names of metrics that have no unit and are no shares either."""
_DECIMAL: Final = ("bytes", "kB", "MB", "GB", "TB")


def is_known(value: float | None) -> TypeGuard[float]:
    """Says whether there is a finite number."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, digits: int = 1) -> str:
    """Gives a share in [0, 1] as ``71.4%``."""
    # A finite number may be no longer finite as a percentage.
    return MISSING if value is None or not is_known(100 * value) else f"{100 * value:.{digits}f}%"


def points(difference: float | None) -> str:
    """Gives a difference of two shares as ``+69.3 points``, unbroken, with a true minus sign."""
    if difference is None or not is_known(100 * difference):
        return MISSING
    rounded = round(100 * difference, 1) + 0.0
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else "±"
    return f"{sign}{abs(rounded):.1f}{NBSP}points"


def number(value: float | None, digits: int = 3) -> str:
    """Gives a number with a few significant digits, as a person would write it."""
    if value is None or not is_known(value):
        return MISSING
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", _MINUS)
    if abs(value) < 1e-3 or abs(value) >= 1e15:
        return _power(value, digits)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", _MINUS)


def _power(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    raised = str(int(exponent)).translate(_RAISED)
    return f"{mantissa}{_TIMES}10{raised}".replace("-", _MINUS)


def tick(value: float) -> str:
    """Gives a round number on an axis: no digit more than it needs."""
    return f"{value:,.10g}".replace("-", _MINUS)


def size(value: float | None) -> str:
    """Gives bytes in decimal units, as ``145 MB``."""
    if value is None or not is_known(value) or value < 0:
        return MISSING
    power = min(int(math.log10(value) // 3), len(_DECIMAL) - 1) if value >= 1 else 0
    return f"{number(value / 1000**power)} {_DECIMAL[power]}"


def duration(seconds: float | None) -> str:
    """Gives a time as ``42 s`` or ``2 min 34 s``."""
    if seconds is None or not is_known(seconds) or seconds < 0:
        return MISSING
    if seconds < 60:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def quantity(value: float | None, unit: str) -> str:
    """Gives a number with its unit; one from -1 to 1 without a unit is a share."""
    if value is None or not is_known(value):
        return MISSING
    if unit == "bytes":
        return size(value)
    if unit:
        return f"{number(value)} {unit}"
    # 4.9e-6 would read 0.0%, and 15.8 is no share.
    is_share = value == 0 or 5e-4 <= abs(value) <= 1
    return percent(value).replace("-", _MINUS) if is_share else number(value)


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """Gives a 95% interval with an en dash, or nothing if there is none."""
    if low is None or high is None or not (is_known(low) and is_known(high)):
        return ""
    if unit:
        first = size(low) if unit == "bytes" else number(low)
        return f"{first} to {quantity(high, unit)}"
    return f"{percent(low).removesuffix('%')}{_DASH}{percent(high)}"


def metric(name: str) -> str:
    """Gives a metric's name for people: ``macro_f1`` is ``Macro-F1``."""
    return _METRICS.get(name) or sentence(name.replace("_", " "))


def sentence(text: str) -> str:
    """Gives `text` with a capital first letter."""
    return text[:1].upper() + text[1:]


def moment(text: str) -> str:
    """Gives an RFC 3339 time as ``2026-11-21 22:41 UTC``; any other text as it is."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{read.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if read.tzinfo else text


def plural(count: int, noun: str) -> str:
    """Gives ``1 row`` or ``2,100 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def measured(name: str, value: float | None, unit: str) -> str:
    """Gives a metric's value: of a divergence, a loss or a count the number, else the share."""
    bare = not unit and not _BARE.isdisjoint(name.split("_"))
    return number(value) if bare else quantity(value, unit)


def short(digest: str) -> str:
    """Gives the first twelve digits of a digest or a commit, without the algorithm."""
    return digest.rpartition(":")[2][:12]


def visible(text: str) -> str:
    r"""Shows what would steer a terminal, turn the writing round or break an encoder, as escapes.

    Example::

        visible("red\x1b[31m") == "red\\x1b[31m"
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(letter: str) -> str:
    hidden = unicodedata.category(letter) in _HIDDEN and letter not in _KEPT
    return letter.encode("unicode_escape").decode() if hidden else letter


def width(text: str) -> int:
    """Gives how many columns `text` takes: East Asian letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def clip(text: str, columns: int) -> str:
    """Shortens `text` to some columns, the last of them an ellipsis."""
    if width(text) <= columns:
        return text
    while width(text) > columns - 1:
        text = text[:-1]
    return text.rstrip() + "…"
