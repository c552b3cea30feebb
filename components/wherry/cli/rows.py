"""Reads the options that name files of rows and say what they hold."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import click

from wherry.contracts.dataset import Kind
from wherry.contracts.errors import MissingError, SettingsError
from wherry.contracts.settings import read_settings

if TYPE_CHECKING:
    from wherry.rows.settings import Columns

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_KIND: Final[Kind] = "chat"
_TOKENIZER: Final = "tokenizer.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPLIT: Final = re.compile(r"(train|eval|test|validation|valid|val|dev)(?![a-z])")
_SPLITS: Final = {"validation": "eval", "valid": "eval", "val": "eval", "dev": "eval"}
_ORDER: Final = ("train", "eval", "test")
_LISTED: Final = 5
"""Files of a folder that a message names."""


def rows_options(command: Command) -> Command:
    """Adds the options that say what the files hold."""
    options = (
        click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(path_type=Path)),
        click.option(
            "--split",
            "splits",
            metavar="NAME=FILE",
            multiple=True,
            help="A file with its split's name; without it the file's own name tells.",
        ),
        click.option(
            "--kind",
            type=click.Choice(get_args(Kind)),
            default=DEFAULT_KIND,
            show_default=True,
            help="What the rows are.",
        ),
        click.option(
            "--columns",
            metavar="KEY=PATH",
            multiple=True,
            help="Your name for a part of a row, such as prompt=question or label=meta.topic.",
        ),
        click.option(
            "--tokenizer",
            type=click.Path(path_type=Path),
            help="The base model's tokenizer.json or folder, to count tokens.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def named_files(files: Sequence[Path], splits: Sequence[str]) -> dict[str, Path]:
    """Gives each file by its split: as ``--split`` says, or the file's name, or ``train``.

    Raises:
        MissingError, SettingsError: if a file is not there, a folder, or a split has two.
    """
    pairs = [_pair("--split", one) for one in splits]
    given = [(name, Path(path)) for name, path in pairs] + [(split_of(f), f) for f in files]
    if not given:
        raise SettingsError(
            "No file was named.", remedy="Run: wherry validate FILE --suite suite.yaml"
        )
    found: dict[str, Path] = {}
    for split, path in given:
        _refuse_odd_split(split)
        _refuse_odd_file(path)
        if split in found:
            raise SettingsError(
                f"{found[split]} and {path} would both be the split {split!r}.",
                remedy="Tell them apart: --split train=FILE --split test=FILE",
            )
        found[split] = path
    order = [name for name in _ORDER if name in found]
    return {name: found[name] for name in (*order, *sorted(found.keys() - set(_ORDER)))}


def split_of(path: Path) -> str:
    """Gives the split that a file's name tells, or ``train``."""
    named = _SPLIT.match(path.name.lower())
    return _SPLITS.get(named[1], named[1]) if named else "train"


def _refuse_odd_split(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"A split's name must be letters, digits, '.', '_' and '-', got {name!r}.",
            remedy="Write it as --split train=FILE",
        )


def _refuse_odd_file(path: Path) -> None:
    if path.is_dir():
        from wherry.rows.read import SUFFIXES

        inside = sorted(each.name for each in path.iterdir() if each.name.endswith(SUFFIXES))
        names = ", ".join(inside[:_LISTED]) or "none that can be read"
        raise SettingsError(
            f"{path} is a folder, expected files.", remedy=f"Name its files: {names}."
        )
    if not path.exists():
        raise MissingError(f"{path} does not exist.", remedy="Check the path.")


def _pair(option: str, text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not (key and found and value):
        example = {"--split": "train=a.jsonl"}.get(option, "prompt=question")
        raise SettingsError(
            f"{option} {text!r} is no pair, expected NAME=VALUE.",
            remedy=f"Write it as {option} {example}",
        )
    return key, value


def columns_of(pairs: Sequence[str]) -> "Columns":
    """Gives a team's names for the parts of a row, from ``KEY=PATH`` each.

    Raises:
        SettingsError: if one is no pair, or its key no part of a row.
    """
    from wherry.rows.settings import Columns

    named = dict(_pair("--columns", one) for one in pairs)
    return read_settings(Columns, named, where="--columns")


def tokenizer_file(path: Path | None) -> Path | None:
    """Gives the tokenizer's file of a path that may be a base model's folder.

    Raises:
        MissingError: if it is not there.
    """
    if path is None:
        return None
    file = path / _TOKENIZER if path.is_dir() else path
    if not file.is_file():
        raise MissingError(
            f"{file} does not exist.",
            remedy="Name the base model's tokenizer.json, or the folder that holds it.",
        )
    return file
