"""Hears that a process is to end, and lets it end in its own way."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def wanted_back() -> Iterator[Callable[[], bool]]:
    """Gives what tells whether SIGTERM came, as it does when a node is drained.

    The process goes on meanwhile: Kubernetes waits 30 s before it kills. A second SIGTERM
    ends it at once.
    """
    told = threading.Event()

    def hear() -> None:
        if told.is_set():
            raise KeyboardInterrupt
        told.set()

    with _heard(hear):
        yield told.is_set


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGTERM what Ctrl-C is, so that what was started elsewhere is ended."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _heard(interrupt):
        yield


@contextmanager
def _heard(told: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only a main thread can listen
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 # the system's form
        told()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
