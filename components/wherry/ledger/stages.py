"""Records each stage of a run: by whom, from which bytes, to which bytes, with which settings."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from wherry.contracts import Digest, Manifest, digest_bytes, digest_file
from wherry.contracts.digest import MANIFEST_NAME
from wherry.contracts.errors import WherryError, as_wherry_error
from wherry.ledger.address import STORE_VARIABLE
from wherry.ledger.circumstances import process_circumstances
from wherry.ledger.lineage import tell
from wherry.ledger.records import Named, Stage
from wherry.ledger.redaction import redacted
from wherry.ledger.store import Ledger
from wherry.workspace import HOME_VARIABLE, state

P = ParamSpec("P")
R = TypeVar("R")


def recorded(
    name: str, *, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes each call of a room's `run` inside a pipeline's run leave one audit row.

    Outside of one, or where a task was given no store, nothing is recorded: what is released is
    traced by its digests all the same. A stage that cannot be recorded fails.

    Example::

        @recorded("evaluate {subject}", inputs=("dataset", "model"), outputs=("scores",))
        def run(dataset: Path, model: Path, scores: Path, subject: str) -> None: ...

    Args:
        name: of the stage; may name arguments.
        inputs: arguments with the paths that it reads.
        outputs: arguments with the paths that it writes.
    """

    def wrap(run: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(run)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _is_recorded():
                return run(*args, **kwargs)
            bound = inspect.signature(run).bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            begun = _begun(name.format(**given), given, inputs)
            try:
                result = run(*args, **kwargs)
            except BaseException as error:
                # The stage is red already, for a reason that a broken store must not hide.
                with suppress(WherryError, OSError):
                    _record(begun, (), as_wherry_error(error).code)
                raise
            _record(begun, _named(given, outputs))
            return result

        return wrapped

    return wrap


def _is_recorded() -> bool:
    """Says whether this process is a task of a run that was given a store."""
    given = os.environ.get(HOME_VARIABLE) or os.environ.get(STORE_VARIABLE)
    return bool(given) and process_circumstances().run is not None


def _begun(name: str, given: Mapping[str, Any], inputs: tuple[str, ...]) -> Stage:
    settings = str(given.get("settings") or "")
    plain = {key: value for key, value in given.items() if isinstance(value, str | int | float)}
    plain.pop("settings", None)
    parameters, names = redacted(plain)
    return Stage(
        name=name,
        inputs=_named(given, inputs),
        settings=digest_bytes(settings.encode()) if settings else None,
        parameters={key: str(value) for key, value in parameters.items() if _is_short(value)},
        redacted=names,
    )


def _is_short(value: Any) -> bool:
    # Longer ones are settings again; their digest stands in the version's lineage.
    return value != "" and len(str(value)) <= 200


def _named(given: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Named, ...]:
    paths = ((name, given[name]) for name in names if isinstance(given[name], Path))
    return tuple(Named(name, digest) for name, path in paths if (digest := _digest(path)))


def _digest(path: Path) -> Digest | None:
    """Gives the digest of a file, of a folder by its manifest, or None if it is not there."""
    if path.is_file():
        return digest_file(path)
    if (path / MANIFEST_NAME).is_file():
        # The stage itself re-hashes the files that it names.
        return Manifest.read(path / MANIFEST_NAME).digest
    return None


def _record(stage: Stage, outputs: tuple[Named, ...], error_code: str = "") -> None:
    with Ledger.open(state()) as ledger:
        tell(ledger.record_stage(stage, outputs, error_code))
