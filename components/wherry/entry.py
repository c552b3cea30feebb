"""Makes a room's `run` function a plain command line, for containers without KFP."""

import argparse
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

from wherry.contracts.errors import WherryError, as_wherry_error


def main(run: Callable[..., object], arguments: Sequence[str] | None = None) -> None:
    """Calls `run` with the options that its signature names, and exits.

    A parameter ``base: Path`` becomes ``--base PATH``; one with a default may be
    left out. Exit codes are those of `wherry.contracts.errors`.

    Args:
        run: a function whose parameters are Path, str, int, float, or one of
            these or None.
        arguments: instead of the process's own.
    """
    options = _parser(run).parse_args(arguments)
    try:
        run(**vars(options))
    except (WherryError, OSError, KeyboardInterrupt) as raised:
        error = as_wherry_error(raised)
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _parser(run: Callable[..., object]) -> argparse.ArgumentParser:
    summary = (inspect.getdoc(run) or "").partition("\n")[0]
    parser = argparse.ArgumentParser(
        prog=f"python -m {run.__module__.removesuffix('.run')}", description=summary
    )
    hints = typing.get_type_hints(run)
    for name, parameter in inspect.signature(run).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_scalar(hints.get(name, str)),
            required=required,
            default=None if required else parameter.default,
            metavar="PATH" if _scalar(hints.get(name, str)) is Path else None,
        )
    return parser


def _scalar(hint: object) -> Callable[[str], object]:
    choices = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    kind = choices[0] if choices else hint
    return kind if kind in (Path, int, float) else str
