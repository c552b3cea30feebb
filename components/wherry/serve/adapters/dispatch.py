"""Threads between the asynchronous server and the engine, which blocks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor

from wherry.serve.step import MAX_WAITING, Engine, Json, RequestError

Put = Callable[[Json | Exception | None], bool]


class ThreadDispatcher:
    """Implements `Dispatcher` with one thread a slot; more requests wait in line.

    Args:
        engine: what answers.
        slots: conversations at the same time.
    """

    def __init__(self, engine: Engine, slots: int) -> None:
        self._engine = engine
        self._room = slots + MAX_WAITING
        self._taken = 0
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="engine")
        self._lock = threading.Lock()
        self._running = 0

    @property
    def busy(self) -> bool:
        """Whether the engine still works for somebody."""
        return self._running > 0

    async def chunks(self, request: Json) -> AsyncIterator[Json]:
        """Gives the chunks of an answer; a reader who leaves early stops the generation.

        Raises:
            RequestError: before the first chunk, if the engine refuses the request or too many
                wait already.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Json | Exception | None] = asyncio.Queue()
        stopped = threading.Event()

        def put(item: Json | Exception | None) -> bool:
            loop.call_soon_threadsafe(queue.put_nowait, item)
            return stopped.is_set()

        work = self._submitted(request, put, stopped)
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            stopped.set()
            work.cancel()  # it may wait in line still

    def _submitted(self, request: Json, put: Put, stopped: threading.Event) -> Future[None]:
        with self._lock:
            if self._taken >= self._room:
                message = f"{MAX_WAITING} requests wait already; try again later."
                raise RequestError(message, status=503, code="overloaded")
            self._taken += 1
        work = self._pool.submit(self._work, request, put, stopped)
        work.add_done_callback(self._left)
        return work

    def _left(self, _: Future[None]) -> None:
        with self._lock:
            self._taken -= 1

    def _work(self, request: Json, put: Put, stopped: threading.Event) -> None:
        with self._lock:
            self._running += 1
        try:
            if not stopped.is_set():
                self._engine.chat(request, put)
            put(None)
        except RequestError as error:
            put(error)
        except Exception as error:
            put(RequestError(f"The engine failed: {error}", status=500))
        finally:
            with self._lock:
                self._running -= 1
