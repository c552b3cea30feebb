"""Asks again after a fault that passes, each time a little later, and gives up in the end."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wherry.ingest.faults import is_transient

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often and how late a source is asked again.

    The pauses double from `first` to `longest`, each shortened by chance to between half and
    all of it, so that tasks that failed together do not come back together:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.

    Example::

        listing = Patience()(store.files)
    """

    attempts: int = 5
    """How often a source is asked at most."""
    first: float = 0.5
    """The first pause, in seconds."""
    longest: float = 15.0
    """The longest pause, in seconds."""
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, work: Callable[[], T]) -> T:
        """Does the work, again after each fault that passes.

        Raises:
            Exception: what the work raised if it lasts, or raised at the last attempt.
        """
        for attempt in range(1, self.attempts):
            try:
                return work()
            except Exception as error:
                if not is_transient(error):
                    raise
            self.sleep(self._pause(attempt))
        return work()

    def told(self, error: BaseException) -> str:
        """Says how often a source was asked before this error was believed."""
        return f" It was asked {self.attempts} times." if is_transient(error) else ""

    def _pause(self, attempt: int) -> float:
        whole = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
