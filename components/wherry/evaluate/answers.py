"""What counts of an answer, and what does not."""

import re
import string
import unicodedata
from typing import Final

_TELLING: Final = frozenset("+-#%")
"""Marks that make another answer of a word or a number: ``-5``, ``C++``, ``C#``, ``5%``."""
_BULLET: Final = re.compile(r"[+\-#]+ ")
_MINUS: Final = re.compile("[\N{MINUS SIGN}\N{EN DASH}](?=[.\\d])")
_NUMBER: Final = re.compile(r"(?:[<>]=?)?[+-]?(?<!\.)\.?\d")
"""How a number begins: ``<5`` and ``.5`` are others than ``5``."""
_EMBRACED: Final = re.compile(r"<[^<>\s]+>")
"""As models write what they were told to put in brackets: ``<5>`` is ``5``."""


def normalise(text: str) -> str:
    """Gives what counts of an answer: case, outer punctuation and spacing do not.

    A sign of a number or a name, and an answer of nothing but marks, are no punctuation.

    Example::

        normalise(" Heart. ")  # "heart"
        normalise("-5")  # "-5"
        normalise("(<0.5)")  # "<0.5"
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    plain = _MINUS.sub("-", plain)
    bare = _stripped(plain)
    if bullet := _BULLET.match(bare):
        bare = _stripped(bare[bullet.end() :])
    return bare or plain


def _stripped(text: str) -> str:
    """Takes punctuation off both ends, but for what a number begins with."""
    marks = "".join({" ", *filter(_is_punctuation, set(text))})
    start, end = len(text) - len(text.lstrip(marks)), len(text.rstrip(marks))
    number = _NUMBER.search(text)
    if number and number.start() < start < number.end() and not _EMBRACED.fullmatch(text):
        start = number.start()
    return text[start:end]


def _is_punctuation(mark: str) -> bool:
    """Says whether a mark is punctuation, or nothing that anyone sees, as a zero-width space."""
    category = unicodedata.category(mark)
    known = mark in string.punctuation or category == "Cf" or category.startswith("P")
    return known and mark not in _TELLING
