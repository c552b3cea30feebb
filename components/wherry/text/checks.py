"""Tells a real number from one that only looks like it, on spans that an expression found.

A check is handed the whole text, for what stands around a span may rule it out, and gives those
spans within that hold. Each looks at a bounded stretch, so that no text makes it slow.
"""

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

Span = tuple[int, int]
"""Start and end of a match in a text, in characters; the end is exclusive."""

_BEFORE: Final = 24
"""Characters before a span in which a label such as ``version`` rules it out."""
_GROUPS: Final = re.compile("[0-9]+")
_DATE: Final = re.compile(
    r"(?:19|20)[0-9]{2}[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|(?<![0-9])(?:0?[1-9]|[12][0-9]|3[01])[-./ ](?:0?[1-9]|[12][0-9]|3[01])[-./ ]"
    r"(?:19|20)[0-9]{2}"
)
_SHORT_DATE: Final = re.compile(
    r"(?:0?[1-9]|[12][0-9]|3[01])([-./])(?:0?[1-9]|[12][0-9]|3[01])\1[0-9]{2}(?![0-9]|\1[0-9])"
)
"""Such as ``03.12.24``; ``01.02.03.04.05`` is a telephone number in France."""


def luhn_holds(digits: str) -> bool:
    """Says whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    values = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * value, 10)) for value in values[1::2])
    return (sum(values[::2]) + sum(doubled)) % 10 == 0


def _luhn(text: str, start: int, end: int) -> Iterator[Span]:
    digits = "".join(_GROUPS.findall(text[start:end]))
    if len(digits) > 1 and luhn_holds(digits):
        yield start, end


_CARDS: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    # Mastercard
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}(?:[0-9]{2})?"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB
    r"|(?:62|81)[0-9]{14,17}"  # UnionPay
    r"|(?:220[0-4])[0-9]{12,15}"  # Mir
    r"|(?:50|5[6-8]|6304|6759|676[1-3])[0-9]{9,15}"  # Maestro
)
_LONGEST_CARD: Final = 19


def _card(text: str, start: int, end: int) -> Iterator[Span]:
    if _glued(text, start, end) or _decimal(text, start, end):
        return
    groups = [(start + m.start(), start + m.end()) for m in _GROUPS.finditer(text[start:end])]
    first = 0
    while first < len(groups):
        last = _card_end(text, groups, first)
        if last is not None:
            yield groups[first][0], groups[last][1]
            first = last
        first += 1


def _card_end(text: str, groups: list[Span], first: int) -> int | None:
    """Gives the last of the groups that make a card number from the first on, or None."""
    digits, sizes, found = "", list[int](), None
    for last in range(first, len(groups)):
        digits += text[slice(*groups[last])]
        sizes.append(groups[last][1] - groups[last][0])
        if len(digits) > _LONGEST_CARD:
            break
        if _printed(sizes) and _CARDS.fullmatch(digits) and luhn_holds(digits):
            found = last
        if set(sizes) != {4} and sizes not in ([4, 6], [6], [8]):
            break  # no further group makes a printed number of it
    return found


def _printed(sizes: list[int]) -> bool:
    """Says whether a card number is printed in groups of these sizes; a row of readings is not."""
    if len(sizes) == 1 or sizes in ([4, 6, 5], [4, 6, 4], [6, 13], [8, 8]):
        return True
    return set(sizes[:-1]) == {4} and sizes[-1] <= 4


_IBAN_COUNTRIES: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTH: Final[Mapping[str, int]] = {
    entry[:2]: int(entry[2:]) for entry in re.findall("[A-Z]{2}[0-9]{2}", _IBAN_COUNTRIES)
}
"""Characters by country: the SWIFT IBAN registry, release 99."""


def _iban(text: str, start: int, end: int) -> Iterator[Span]:  # noqa: ARG001 - a check's form
    length = _IBAN_LENGTH.get(text[start : start + 2].upper())
    if length is None:
        return
    at, letters = start, ""
    while at < len(text) and len(letters) < length:
        if text[at].isascii() and text[at].isalnum():
            letters += text[at].upper()
        elif not (text[at] in " \u00a0-" and text[at - 1].isalnum()):
            return
        at += 1
    if len(letters) == length and not _glued(text, start, at) and _mod_97(letters):
        yield start, at


def _mod_97(letters: str) -> bool:
    """Checks an account number as ISO 13616 does: by ISO 7064, MOD 97-10."""
    turned = letters[4:] + letters[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _ssn(text: str, start: int, end: int) -> Iterator[Span]:
    """Keeps numbers that could have been issued: 20 CFR 422.103 and the SSA's randomisation."""
    digits = "".join(_GROUPS.findall(text[start:end]))
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    issued = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    # Beside a comma or a slash it stands in a list or a form, not in a longer number.
    before = re.search(r"[0-9][-.]$", text[max(0, start - 2) : start])
    after = re.match(r"[-.][0-9]", text[end : end + 2])
    if issued and not (before or after or _glued(text, start, end)):
        yield start, end


_NOT_A_PHONE: Final = re.compile(
    r"(?i)\b(?:order|orders|ref|reference|invoice|account|acct|a/c|case|claim|policy|npi|mrn|ticket|"
    r"batch|lot|serial|code|codes|icd|cpt|ndc|icd-?10|dob|born|date|dated|id|ssn|iban|card|isbn|"
    r"tracking|member|version|upc|dose|pmid|nct|doi|size|rows?|page|line)\b[\s.:#=]*(?:no|nr|number|id"
    r"|is|of)?[\s.:#=(]*$"
)


def _phone(text: str, start: int, end: int) -> Iterator[Span]:
    groups = _GROUPS.findall(text[start:end])
    digits = "".join(groups)
    if len(groups) == 1:
        likely = len(digits) >= 9 and (digits[0] == "0" or len(digits) in (10, 11))
    else:
        # Pairs of digits are a French number, or a row of readings.
        likely = all(len(group) > 1 for group in groups[1:]) and (
            digits[0] == "0" or any(len(group) > 2 for group in groups)
        )
    if (
        likely
        and not _joined(text, start, end)
        and not _DATE.search(text[start:end])
        and not _SHORT_DATE.match(text[start:end])
        and not _NOT_A_PHONE.search(_stretch_before(text, start))
    ):
        yield start, end


def _phone_with_country(text: str, start: int, end: int) -> Iterator[Span]:
    digits = "".join(_GROUPS.findall(text[start:end]))
    if (
        8 <= len(digits) <= 15  # ITU-T E.164 has 15 at most
        and not _joined(text, start, end)
        and not _DATE.search(text[start:end])
    ):
        yield start, end


_VERSION: Final = re.compile(
    r"(?i)(?:\b(?:v|ver|version|versions|release|rel|build|firmware|driver|revision|rev|update|patch|"
    r"section|sections|sec|chapter|clause|paragraph|article|appendix|table|figure|fig|step|oid|"
    r"schema)\b|§)[\s.:#=]*(?:no|number|is|to)?[\s.:#=]*$"
)
_NOBODY: Final = tuple(
    ipaddress.ip_network(net) for net in ("127.0.0.0/8", "0.0.0.0/32", "255.255.255.255/32")
)
_ROUTED: Final = tuple(ipaddress.ip_network(net) for net in ("2000::/3", "fc00::/7", "fe80::/10"))


def _ip(text: str, start: int, end: int) -> Iterator[Span]:
    word = text[start:end]
    if word[:1] == ":" and word[:2] != "::":
        start, word = start + 1, word[1:]
    for stop in (start + len(word.rstrip(dots)) for dots in ("", ".", ".:")):
        if _is_address(text[start:stop]):
            if not _glued(text, start, stop) and not _dotted(text, start, stop):
                yield start, stop
            return


def _is_address(word: str) -> bool:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return False
    if address.version == 4:
        return not any(address in network for network in _NOBODY)
    return any(address in network for network in _ROUTED) or address.ipv4_mapped is not None


def _dotted(text: str, start: int, end: int) -> bool:
    """Says whether the span is part of a longer number or the number of a version or section."""
    before = re.search(r"\w\.$", text[max(0, start - 2) : start])
    after = re.match(r"\.[0-9]", text[end : end + 2])
    return bool(before or after or _VERSION.search(_stretch_before(text, start)))


_FILE_ENDINGS: Final = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js"))
"""None of them a country's: ``py`` is Paraguay."""


def _email(text: str, start: int, end: int) -> Iterator[Span]:
    local, _, domain = text[start:end].partition("@")
    if domain.rpartition(".")[2].lower() not in _FILE_ENDINGS and local != "git":
        yield start, end


def _record(text: str, start: int, end: int) -> Iterator[Span]:
    digits = sum(map(len, _GROUPS.findall(text[start:end])))
    if digits >= 4 and not _DATE.fullmatch(text[start:end]):
        yield start, end


_LEAST_ENTROPY: Final = 2.5
"""Bits a character; an English word of eight letters has about 2.6, but no digit or sign."""
_EXAMPLES: Final = re.compile(
    r"(?i)(?:x{4,}|\*{3,}|\.{3,}|example|your[_-]|placeholder|changeme|redacted|dummy|os\.|process\.|env\.)"
)


def _key(text: str, start: int, end: int) -> Iterator[Span]:
    """Keeps what looks made up by a machine or a careful person: not a word, not a placeholder."""
    word = text[start:end].rstrip(".!?:")
    mixed = any(letter.isdigit() or letter in "!@#$%^&*+?~/=|" for letter in word)
    scrambled = len(word) >= 16 and re.search("[a-z][A-Z]", word) and entropy(word) > 3.5
    if (mixed or scrambled) and entropy(word) >= _LEAST_ENTROPY and not _EXAMPLES.search(word):
        yield start, end


def entropy(word: str) -> float:
    """Gives Shannon's entropy of a word's characters, in bits a character; 0 of an empty one."""
    shares = (count / len(word) for count in Counter(word).values())
    return -sum(share * math.log2(share) for share in shares)


def _glued(text: str, start: int, end: int) -> bool:
    """Says whether a letter, digit or underscore touches the span."""
    sides = (text[max(0, start - 1) : start], text[end : end + 1])
    return any(side.isalnum() or side == "_" for side in sides)


def _joined(text: str, start: int, end: int) -> bool:
    """Says whether the span is part of a longer number, code or word."""
    before = re.search(r"[0-9A-Za-z][-./]$|[0-9][,:]$", text[max(0, start - 2) : start])
    after = re.match(r"[-./:][0-9]|[-/][A-Za-z]", text[end : end + 2])
    return bool(before or after) or _glued(text, start, end)


def _decimal(text: str, start: int, end: int) -> bool:
    """Says whether the span is part of a decimal number; a comma may also part a list's items."""
    before, after = text[max(0, start - 3) : start], text[end : end + 2]
    return bool(re.search(r"[0-9]\.$|(?:^|[^0-9,])0,$", before) or re.match(r"\.[0-9]", after))


def _stretch_before(text: str, start: int) -> str:
    return text[max(0, start - _BEFORE) : start]


CHECKS: Final[Mapping[str, Callable[[str, int, int], Iterator[Span]]]] = {
    "luhn": _luhn,
    "card": _card,
    "iban": _iban,
    "ssn": _ssn,
    "phone": _phone,
    "phone_with_country": _phone_with_country,
    "ip": _ip,
    "email": _email,
    "record": _record,
    "key": _key,
}
"""By the name that a `Pattern` gives in `check`."""
