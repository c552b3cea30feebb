"""An engine that answers from a script, for the server's own behaviour."""

import threading
import time
from dataclasses import dataclass, field

from wherry.serve.step import Emit, Json


@dataclass
class FakeEngine:
    """Implements `Engine`: emits ``{"n": 0}``, ``{"n": 1}`` and so on, or raises."""

    chunks: int = 1
    pause: float = 0.0
    """Seconds before each chunk."""
    error: Exception | None = None
    begin: threading.Event | None = None
    """What it waits for before it answers, if anything."""
    emitted: int = 0
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def chat(self, request: Json, emit: Emit) -> None:
        """Answers any request alike."""
        if self.error:
            raise self.error
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            if self.begin:
                self.begin.wait(60)
            for number in range(self.chunks):
                time.sleep(self.pause)
                self.emitted += 1
                if emit({"n": number}):
                    return
        finally:
            with self._lock:
                self._now -= 1
