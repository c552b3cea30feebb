"""The `wherry` command: parse, call, show. Heavy libraries load inside the commands alone."""

import sys
from io import TextIOWrapper
from typing import Final, TextIO

import click

import wherry
from wherry.cli.audit import audit
from wherry.cli.compile import compile_pipeline
from wherry.cli.data import data
from wherry.cli.doctor import doctor
from wherry.cli.failure import show_failure
from wherry.cli.gate import gate
from wherry.cli.keys import keys
from wherry.cli.models import models
from wherry.cli.moves import approve, promote, rollback
from wherry.cli.run import run
from wherry.cli.serve import serve
from wherry.cli.status import status, stop
from wherry.cli.validate import validate
from wherry.contracts.errors import SettingsError, WherryError, as_wherry_error

_NO_COMMAND: Final = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What click raises from 8.2 on where a group is called alone; before, it shows the help itself."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(wherry.__version__, prog_name="wherry")
def cli() -> None:
    """Takes a small language model from versioned data to a gated, served release."""


for command in (
    *(run, compile_pipeline, status, models, promote, rollback, approve, gate, keys, audit),
    *(data, serve, stop, doctor, validate),
):
    cli.add_command(command)


def main() -> None:
    """Runs the command line; every failure ends as one message with its code."""
    for stream in (sys.stdout, sys.stderr):
        _show_what_it_can(stream)
    try:
        cli.main(prog_name="wherry", standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except _NO_COMMAND as help_wanted:
        help_wanted.show()
        raise SystemExit(help_wanted.exit_code) from None
    except (WherryError, OSError, KeyboardInterrupt) as raised:
        raise SystemExit(_failed(raised)) from None
    except Exception as raised:
        # A fault of ours is shown like any other failure; --debug has the traceback.
        raise SystemExit(_failed(raised)) from None


def _show_what_it_can(stream: TextIO) -> None:
    """Lets a terminal in another encoding show ``?`` for a mark that it lacks: a run goes on."""
    if isinstance(stream, TextIOWrapper) and stream.encoding.lower() != "utf-8":
        stream.reconfigure(errors="replace")


def _failed(raised: BaseException) -> int:
    error = _as_shown(raised)
    show_failure(error, raised, as_json="--json" in sys.argv, debug="--debug" in sys.argv)
    return error.exit_code


def _as_shown(raised: BaseException) -> WherryError:
    if isinstance(raised, click.ClickException):
        return _wrong_usage(raised)
    return _no_text() if _is_no_text(raised) else as_wherry_error(raised)


def _wrong_usage(raised: click.ClickException) -> SettingsError:
    context = raised.ctx if isinstance(raised, click.UsageError) else None
    command = context.command_path if context else "wherry"
    return SettingsError(
        " ".join(raised.format_message().split()), remedy=f"See `{command} --help`."
    )


def _is_no_text(raised: BaseException) -> bool:
    # What a shell hands over in another encoding, Python keeps in surrogates.
    return isinstance(raised, UnicodeEncodeError) and "surrogates" in raised.reason


def _no_text() -> SettingsError:
    return SettingsError(
        "an argument or a variable holds bytes that are no UTF-8.",
        remedy="Write it in UTF-8, then run the same command again.",
    )
