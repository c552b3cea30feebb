"""A streamed object: one piece is read ahead, and nothing is lost, swallowed or left behind."""

import asyncio
import gc
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.asyn import get_loop

from wherry.ingest.adapters.dvc.stream import Streamed

DATA = bytes(range(256)) * 4


class Answer:
    """One answer of a server, as s3fs and fsspec's HTTP give it: in pieces of their own size."""

    def __init__(self, cut: int | None = None, hangs: int | None = None) -> None:
        self.asked = 0
        self.returned = threading.Event()
        self.waiting = threading.Event()
        self.r = self
        self._place = 0
        self._cut = cut
        self._hangs = hangs

    async def read(self, size: int) -> bytes:
        self.asked += 1
        if self._place == self._hangs:
            self.waiting.set()
            await asyncio.sleep(60)
        if self._place == self._cut:
            raise ConnectionResetError("cut off")
        piece = DATA[self._place : self._place + min(size if size > 0 else len(DATA), 64)]
        self._place += len(piece)
        return piece

    def close(self) -> None:
        self.returned.set()


class Server:
    """Gives one answer."""

    def __init__(self, answer: Answer) -> None:
        self.loop = get_loop()
        self._answer = answer

    async def open_async(self, path: str) -> Answer:
        assert path == "bucket/key"
        return self._answer


@pytest.fixture
def opened(caplog: pytest.LogCaptureFixture) -> Any:
    """Opens an answer; afterwards no coroutine and no error may be left that nobody looked at."""
    caplog.set_level(logging.ERROR, "asyncio")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield lambda answer: Streamed(Server(answer), "bucket/key", {})
        gc.collect()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), get_loop()).result()
    assert [str(one.message) for one in told] == []
    assert caplog.records == []


@pytest.mark.parametrize("size", [1, 63, 64, 100, len(DATA), 5000, -1])
def test_every_byte_comes_once_and_in_order(opened: Callable[..., Streamed], size: int) -> None:
    with opened(Answer()) as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == DATA
    assert {len(piece) for piece in pieces[:-1]} <= {size}


def test_nothing_is_asked_for_beyond_the_end(opened: Callable[..., Streamed]) -> None:
    answer = Answer()
    with opened(answer) as stream:
        assert stream.read(1 << 30) == DATA
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), get_loop()).result()
    assert answer.asked == len(DATA) // 64 + 1


def test_an_error_of_the_piece_ahead_is_raised_when_that_piece_is_asked_for(
    opened: Callable[..., Streamed],
) -> None:
    answer = Answer(cut=128)
    with opened(answer) as stream:
        assert stream.read(128) == DATA[:128]
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                stream.read(128)
    assert answer.returned.wait(5)


def test_closing_does_not_wait_for_the_piece_ahead_and_gives_the_connection_back(
    opened: Callable[..., Streamed],
) -> None:
    answer = Answer(hangs=128)
    with opened(answer) as stream:
        assert stream.read(128) == DATA[:128]
        assert answer.waiting.wait(5)
    assert answer.returned.wait(5)
    asked = answer.asked
    stream.close()
    assert answer.asked == asked


def test_an_error_that_nobody_asks_for_any_more_is_told_nowhere(
    opened: Callable[..., Streamed],
) -> None:
    answer = Answer(cut=128)
    with opened(answer) as stream:
        assert stream.read(128) == DATA[:128]
    assert answer.returned.wait(5)
