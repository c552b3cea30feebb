"""Reads the chat template that a GGUF file carries, without its tensors.

llama.cpp's server shows it too, but without a last line end: its digest would be another's.

The form is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from wherry.contracts.errors import FormatError, TemplateError

TEMPLATE_KEY: Final = "tokenizer.chat_template"
_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_LONGEST_TEXT: Final = 1 << 24
"""In bytes; real templates have some thousand."""
_LONGEST_VALUE: Final = 1 << 40
_STRING: Final = 8
_ARRAY: Final = 9
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of each scalar type by its number."""


def chat_template(path: Path) -> str:
    """Gives the chat template that a GGUF file carries.

    Raises:
        FormatError: if the file is no GGUF or ends in its header.
        TemplateError: if it carries no template: a base model cannot answer a chat.
    """
    try:
        with path.open("rb") as file:
            for key, value in _strings(file):
                if key == TEMPLATE_KEY:
                    return value
    except (struct.error, KeyError, ValueError, OverflowError) as error:
        raise _malformed(path, f"its header is damaged ({error})") from error
    raise TemplateError(
        f"{path} carries no chat template ({TEMPLATE_KEY}).",
        remedy="Choose an instruction-tuned model, or quantize it with a template.",
    )


def _strings(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Walks over the metadata and gives the values that are texts."""
    if file.read(4) != _MAGIC:
        raise _malformed(Path(file.name), "it does not begin with 'GGUF'")
    version, _, count = _unpack(file, "<IQQ")
    if version not in _VERSIONS:
        raise _malformed(Path(file.name), f"its version is {version}, known are {_VERSIONS}")
    for _ in range(count):
        key = _text(file)
        (kind,) = _unpack(file, "<I")
        if kind == _STRING:
            yield key, _text(file)
        else:
            _skip(file, kind)


def _skip(file: IO[bytes], kind: int) -> None:
    if kind == _STRING:
        (length,) = _unpack(file, "<Q")
        _pass(file, length)
    elif kind == _ARRAY:
        inner, count = _unpack(file, "<IQ")
        if inner == _STRING:
            for _ in range(count):
                _skip(file, inner)
        else:
            _pass(file, count * _SIZES[inner])
    else:
        _pass(file, _SIZES[kind])


def _pass(file: IO[bytes], length: int) -> None:
    if length > _LONGEST_VALUE:
        raise struct.error(f"a value of {length} bytes")
    file.seek(length, 1)


def _text(file: IO[bytes]) -> str:
    (length,) = _unpack(file, "<Q")
    if length > _LONGEST_TEXT:
        raise struct.error(f"a text of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise struct.error("it ends in the middle of a text")
    return data.decode()


def _unpack(file: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _malformed(path: Path, why: str) -> FormatError:
    return FormatError(
        f"{path} is no whole GGUF file: {why}.",
        remedy="Make or fetch the file again.",
    )
