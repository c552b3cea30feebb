"""Finds texts that a machine broke: control characters, failed decodings, doubled encodings."""

from typing import Final

import polars as pl

_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"

# UTF-8 that was read as Windows-1252: a lead byte's letter, then what stands for 0x80 to 0xBF.
# Quotes, dashes and the ellipsis may also follow a capital at the end of a shouted word, as in
# Portuguese, so before them there must be none.
_QUOTES: Final = "".join(map(chr, (0x201C, 0x201D, 0x2018, 0x2019, 0x2026, 0x2013, 0x2014, 0xBB)))
_TAIL: Final = "".join(
    sorted(set(bytes(range(0x80, 0xC0)).decode("cp1252", "ignore")) - set(_QUOTES))
)
_DOUBLED: Final = (
    rf"[ÃÂ][{_TAIL}]|(?:^|[^\p{{Lu}}])[ÃÂ][{_QUOTES}]|â€|â[{_TAIL}][{_TAIL}{_QUOTES}]|ðŸ|ï»¿|ï¿½"
    rf"|(?:[ÐÑ][{_TAIL}{_QUOTES}]){{2}}"
)
_BROKEN: Final = rf"[\u{{80}}-\u{{9f}}\u{{fffd}}\u{{fffe}}\u{{ffff}}]|{_DOUBLED}"


def is_garbled(texts: pl.Series) -> pl.Series:
    """Says which texts hold control characters, U+FFFD or text that was decoded wrongly.

    Tabs and line ends are none. Of wrong decodings it knows UTF-8 read as Windows-1252 or
    Latin-1, by far the most frequent, as in ``cafÃ©``.

    Args:
        texts: without nulls.

    Returns:
        One truth value a text.
    """
    beyond_ascii = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    found = texts.str.contains(_CONTROL)
    if len(beyond_ascii):
        part = texts.gather(beyond_ascii)
        broken = part.str.contains(_CONTROL) | part.str.contains(_BROKEN)
        found = found.scatter(beyond_ascii, broken)
    return found
