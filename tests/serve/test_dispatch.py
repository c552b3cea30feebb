"""One blocking engine is shared by many asynchronous readers."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from tests.fakes.engines import FakeEngine
from wherry.serve.adapters import dispatch
from wherry.serve.adapters.dispatch import ThreadDispatcher
from wherry.serve.step import RequestError


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not become true within 5 s")


def test_chunks_arrive_in_order() -> None:
    async def read() -> list[int]:
        chunks = ThreadDispatcher(FakeEngine(chunks=50), slots=2).chunks({})
        return [chunk["n"] async for chunk in chunks]

    assert asyncio.run(read()) == list(range(50))


def test_a_refusal_reaches_the_reader() -> None:
    async def read() -> None:
        error = RequestError("too long", code="context_length_exceeded")
        await anext(ThreadDispatcher(FakeEngine(error=error), slots=1).chunks({}))

    with pytest.raises(RequestError, match="too long"):
        asyncio.run(read())


def test_a_fault_of_the_engine_is_a_500() -> None:
    async def read() -> None:
        await anext(ThreadDispatcher(FakeEngine(error=ZeroDivisionError("x")), slots=1).chunks({}))

    with pytest.raises(RequestError, match="engine failed") as caught:
        asyncio.run(read())
    assert caught.value.status == 500


def test_a_reader_who_leaves_stops_the_generation() -> None:
    engine = FakeEngine(chunks=10_000, pause=0.001)
    dispatcher = ThreadDispatcher(engine, slots=1)

    async def leave_after_two() -> None:
        chunks = dispatcher.chunks({})
        await anext(chunks)
        await anext(chunks)
        assert dispatcher.busy
        await chunks.aclose()
        await asyncio.to_thread(wait_until, lambda: not dispatcher.busy)

    asyncio.run(leave_after_two())
    assert engine.emitted < 1000


def test_no_more_run_at_once_than_there_are_slots() -> None:
    engine = FakeEngine(chunks=5, pause=0.005)
    dispatcher = ThreadDispatcher(engine, slots=2)

    async def read() -> None:
        async def one() -> None:
            async for _ in dispatcher.chunks({}):
                pass

        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(read())
    assert engine.most_at_once == 2


def test_who_leaves_the_line_is_never_worked_for() -> None:
    engine = FakeEngine(chunks=20, pause=0.005)
    dispatcher = ThreadDispatcher(engine, slots=1)

    async def leave_the_line() -> None:
        first = dispatcher.chunks({})
        await anext(first)
        waiting = [asyncio.ensure_future(anext(dispatcher.chunks({}))) for _ in range(5)]
        await asyncio.sleep(0.01)
        for each in waiting:
            each.cancel()
        assert len([chunk async for chunk in first]) == 19
        await asyncio.to_thread(wait_until, lambda: not dispatcher.busy)

    asyncio.run(leave_the_line())
    assert engine.emitted == 20


def test_a_line_that_is_too_long_is_refused_until_it_is_shorter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "MAX_WAITING", 2)
    begin = threading.Event()
    dispatcher = ThreadDispatcher(FakeEngine(chunks=5, begin=begin), slots=1)

    async def read() -> list[dict]:
        return [chunk async for chunk in dispatcher.chunks({})]

    async def queue() -> None:
        first = [asyncio.ensure_future(read()) for _ in range(3)]
        await asyncio.sleep(0)  # each of them stands in line
        with pytest.raises(RequestError, match="2 requests wait already") as caught:
            await read()
        assert (caught.value.status, caught.value.code) == (503, "overloaded")
        begin.set()
        assert [len(chunks) for chunks in await asyncio.gather(*first)] == [5, 5, 5]
        assert len(await read()) == 5

    asyncio.run(queue())
