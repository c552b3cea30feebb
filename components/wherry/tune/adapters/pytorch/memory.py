"""Says which setting to lower when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from wherry.contracts.errors import MemoryShortError

_TOLD: Final = (
    "can't allocate memory",  # torch on CPUs
    "out of memory",  # CUDA itself, where torch's own allocator is not asked
    "ALLOC_FAILED",  # cuBLAS and cuDNN
)


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Has what runs in the block end in an error that says what to do, if memory runs out.

    Args:
        what: ends the sentence "Memory ran out …".
        remedy: which setting to lower.

    Raises:
        MemoryShortError: in place of the many errors that torch and Python have for it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryShortError(f"Memory ran out {what}.", remedy=remedy) from error


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    told = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return told or any(words in str(error) for words in _TOLD)
