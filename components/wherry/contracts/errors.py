"""Every failure that a person can meet: one base class, a stable code each.

Raise the narrowest class. The message names the value and what was expected;
`remedy` says what to do next::

    raise SettingsError(
        f"accuracy floor must be in [0, 1], got {floor}",
        remedy="Correct floors.accuracy in gate.yaml.",
    )
"""

import errno
import os
from typing import ClassVar, Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_REFUSED: Final = 3
EXIT_CONFLICT: Final = 4
EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""
EXIT_PREEMPTED: Final = 143
"""128 + SIGTERM."""


class WherryError(Exception):
    """A failure with a cause, a remedy and a stable code.

    Args:
        message: what was wrong: the value and what was expected.
        remedy: what the reader can do about it, as a sentence.
    """

    code: ClassVar[str] = "E_WHERRY"
    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.code}: {self.message} {self.remedy}"


class SettingsError(WherryError):
    """A setting is unknown, of the wrong type, or out of its range."""

    code = "E_SETTINGS"
    exit_code = EXIT_USAGE


class UriError(WherryError):
    """A URI of a scheme that is not on the allow-list, or one that escapes the workspace."""

    code = "E_URI"
    exit_code = EXIT_USAGE


class ExtraMissingError(WherryError):
    """An optional dependency is not installed."""

    code = "E_EXTRA"
    exit_code = EXIT_USAGE


class MissingError(WherryError):
    """Something that should be there is not: a data store, a file, a cached artifact."""

    code = "E_MISSING"


class DigestError(WherryError):
    """Bytes do not have the digest that they were recorded with."""

    code = "E_DIGEST"


class ManifestError(WherryError):
    """A folder holds a file too many, too few, or one that is not a plain file."""

    code = "E_MANIFEST"


class FormatError(WherryError):
    """A file is not of the format that its reader expects."""

    code = "E_FORMAT"


class DataError(WherryError):
    """A row of data cannot be read; the message names file and line."""

    code = "E_DATA"


class ValidationError(WherryError):
    """A critical expectation of the data suite failed."""

    code = "E_VALIDATION"


class TemplateError(WherryError):
    """A chat template is missing, differs from the trained one, or cannot be used."""

    code = "E_TEMPLATE"


class DivergedError(WherryError):
    """Training produced a loss that is not a number."""

    code = "E_DIVERGED"


class MemoryShortError(WherryError):
    """A model and its batch do not fit into memory."""

    code = "E_MEMORY"


class ParityError(WherryError):
    """A converted model does not agree with the model that it was made from."""

    code = "E_PARITY"


class PipelineError(WherryError):
    """A pipeline file cannot be run, or would not do what it says."""

    code = "E_PIPELINE"
    exit_code = EXIT_USAGE


class GateRefusedError(WherryError):
    """The gate refused the model: nothing is released."""

    code = "E_GATE"
    exit_code = EXIT_REFUSED


class ApprovalError(WherryError):
    """An approval is missing, too late, or by somebody who may not give it."""

    code = "E_APPROVAL"
    exit_code = EXIT_REFUSED


class RoleError(WherryError):
    """The roles policy does not let this actor do this."""

    code = "E_ROLE"
    exit_code = EXIT_REFUSED


class WithdrawnError(WherryError):
    """The version is retired or revoked, or may not be while it is needed."""

    code = "E_WITHDRAWN"
    exit_code = EXIT_REFUSED


class SigningKeyError(WherryError):
    """There is no key to sign or to verify with, or it may not be used: unknown, revoked, open."""

    code = "E_KEY"


class SignatureError(WherryError):
    """A statement is not signed, or was changed after it was."""

    code = "E_SIGNATURE"


class ConflictError(WherryError):
    """Somebody else changed the same record first."""

    code = "E_CONFLICT"
    exit_code = EXIT_CONFLICT


class StoreError(WherryError):
    """The release store cannot be opened or does not hold together."""

    code = "E_STORE"


class MirrorError(WherryError):
    """Another registry does not answer, or does not take what the store holds."""

    code = "E_MIRROR"


class PortError(WherryError):
    """The port is in use by something that is not ours."""

    code = "E_PORT"


class DeployError(WherryError):
    """A server did not start, did not become ready, or failed its smoke test."""

    code = "E_DEPLOY"


class EndpointError(WherryError):
    """A server that should answer does not, refuses, or is not the one expected."""

    code = "E_ENDPOINT"


class NoSpaceError(WherryError):
    """The disk is full."""

    code = "E_NOSPACE"


class FileAccessError(WherryError):
    """The operating system refused to read or write a file."""

    code = "E_IO"


class InterruptedRunError(WherryError):
    """A person or a scheduler stopped the run."""

    code = "E_INTERRUPTED"
    exit_code = EXIT_INTERRUPTED


class StageKilledError(WherryError):
    """The process of a stage was killed, or crashed, before it could say why."""

    code = "E_KILLED"


class PreemptedError(WherryError):
    """The machine was wanted back: a checkpoint was saved, and the run goes on elsewhere."""

    code = "E_PREEMPTED"
    exit_code = EXIT_PREEMPTED


class JobError(WherryError):
    """A job on a cluster could not be submitted, or it failed."""

    code = "E_JOB"


class JobTimeoutError(WherryError):
    """A job on a cluster took longer than its settings allow, and was cancelled."""

    code = "E_TIMEOUT"


class InternalError(WherryError):
    """A fault of Wherry itself."""

    code = "E_INTERNAL"


def as_wherry_error(error: BaseException) -> WherryError:
    """Gives the error that a person should read for any exception.

    Args:
        error: whatever was raised.

    Returns:
        The error itself if it is ours, the operating system's causes by name,
        and `E_INTERNAL` for everything else.
    """
    if isinstance(error, WherryError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRunError(
            "The run was interrupted.", remedy="Run the same command again: it goes on."
        )
    if isinstance(error, OSError):
        return _from_os_error(error)
    if os.strerror(errno.ENOSPC) in str(error):
        # safetensors and its like write from Rust or C: of the errno only the text comes through.
        return _from_os_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return InternalError(
        f"{type(error).__name__}: {error}",
        remedy="Run again with --debug for the traceback, and report it.",
    )


def _from_os_error(error: OSError) -> WherryError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(
            f"No space is left on the disk{where}.",
            remedy="Free some space and run the same command again: nothing half-written is kept.",
        )
    return FileAccessError(
        f"{error.strerror or error}{where}.",
        remedy="Check that the path exists and that you may read and write it.",
    )
