"""Puts a GGUF file onto the disk and, where it does not fit, says why."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gguf import GGUFWriter

_PROBE: Final = bytes(1 << 20)


def put(writer: "GGUFWriter", path: Path) -> None:
    """Writes header, metadata and tensors, and closes the file.

    Args:
        writer: holds all of them.
        path: the writer's file.

    Raises:
        OSError: with the system's reason, such as a full disk.
    """
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        if error.errno is None:
            _ask_again(path)
        raise


def _ask_again(path: Path) -> None:
    """Writes on, so that the system says what numpy's `tofile` keeps to itself."""
    with path.open("ab", buffering=0) as file:
        file.write(_PROBE)
        file.write(_PROBE)  # of the first, a part may still have fitted
