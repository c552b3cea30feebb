"""llama.cpp's server in a process of ours: how it is started, and what a file costs to run in it.

Run as ``python -m wherry.llama_server`` it is the process that is measured.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# Waiting threads sleep instead of spinning: with another busy process on two cores, two
# spinning threads answer five times slower than one. libgomp reads it when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import msgspec
import xllamacpp

import wherry
from wherry.contracts import Message
from wherry.contracts.errors import FormatError
from wherry.cores import usable_cores

Request = Mapping[str, Any]
"""What is asked: ``{"messages": …}``, or ``{"prompt": tokens}``."""

DECODED: Final = 24
"""Tokens decoded for one measurement of speed."""


@dataclass(frozen=True)
class Cost:
    """What a file costs to run, measured in a process of its own."""

    first_token: tuple[float, ...]
    """Milliseconds from request to first token, one a run, nothing cached."""
    decode_speed: tuple[float, ...]
    """Tokens a second after the first, one a run."""
    peak_memory: int | None
    """Largest resident memory of that process in bytes; None where it cannot be read."""


def start(file: Path, *, key: str, slots: int, context: int, threads: int) -> Any:
    """Loads a file into llama.cpp's server, as every process of ours does.

    Args:
        file: the model.
        key: the server opens a port of its own on the loopback; only who knows this is served.
        slots: requests answered at once.
        context: room for each one's prompt and answer, in tokens.
        threads: CPU threads; 0 for all that this process may use.

    Raises:
        FormatError: if llama.cpp cannot load the file.
    """
    made = xllamacpp.CommonParams()
    made.model.path = str(file)
    made.api_keys = [key]
    made.n_parallel = slots
    # llama.cpp divides its context among the slots.
    made.n_ctx = context * slots
    made.cpuparams.n_threads = made.cpuparams_batch.n_threads = threads or usable_cores()
    made.verbosity = 1  # errors alone: a line for each request would fill the log
    made.fit_params = made.warmup = made.ui = made.endpoint_slots = False
    # Its default keeps up to 8 GiB of old prompts.
    made.cache_ram_mib = 0
    try:
        return xllamacpp.Server(made)
    except RuntimeError as error:
        raise FormatError(
            f"llama.cpp cannot load {file}: its tensors are damaged, incomplete or of an "
            f"architecture that it does not know, or {slots} contexts of {context} tokens do not "
            "fit into memory.",
            remedy="Make or fetch the file again; llama.cpp wrote the cause to the log.",
        ) from error


class LocalServer:
    """llama.cpp's server in this process, and what it tells over HTTP alone.

    Args:
        file: the model.
        slots: requests answered at once.
        context: room for each one's prompt and answer, in tokens.
        threads: CPU threads; 0 for all that this process may use.

    Raises:
        FormatError: if llama.cpp cannot load the file.
    """

    def __init__(self, file: Path, *, slots: int = 1, context: int, threads: int = 0) -> None:
        self._key = secrets.token_hex(32)
        self.engine = start(file, key=self._key, slots=slots, context=context, threads=threads)
        # A server that is dropped before its loop runs waits for that loop for ever.
        self.engine.handle_completions({"prompt": "a", "n_predict": 1})

    def render(self, messages: Sequence[Message]) -> str:
        """Renders a conversation by the file's template and opens the assistant's turn.

        Raises:
            OSError: if it cannot.
        """
        body = {"messages": [msgspec.structs.asdict(message) for message in messages]}
        return str(self.http("/apply-template", body)["prompt"])

    def tokens(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Tokenizes a text; with what a model begins each text with if `special`."""
        body = {"content": text, "add_special": special, "parse_special": True}
        return tuple(self.http("/tokenize", body)["tokens"])

    def http(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Calls what the server has no Python method for."""
        request = urllib.request.Request(  # noqa: S310  # the server's own address
            self.engine.listening_address + path,
            data=msgspec.json.encode(body),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        # No proxy stands between a process and itself.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request) as reply:
            return json.load(reply)  # type: ignore[no-any-return]  # JSON has no type


@dataclass(frozen=True)
class _Job:
    """What the measured process is told."""

    file: str
    requests: list[dict[str, Any]]
    context: int
    threads: int


def measure(file: Path, requests: Sequence[Request], *, context: int, threads: int) -> Cost:
    """Measures a GGUF file's speed and memory in a fresh process that does nothing else.

    Args:
        file: the model.
        requests: one a run, at least one; each answer starts with nothing cached.
        context: of the one slot, in tokens: the longest request and `DECODED` more.
        threads: CPU threads; 0 for all that this process may use.

    Returns:
        Times of each run. The memory is that of the whole process: Python, llama.cpp, the
        weights that were touched, the cache of one slot.

    Raises:
        FormatError: if the process fails.
    """
    job = _Job(str(file), [dict(request) for request in requests], context, threads)
    package = Path(wherry.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "wherry.llama_server"],
        input=msgspec.json.encode(job),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])},
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-500:].strip()
        raise FormatError(
            # Whoever is killed, as for want of memory, says nothing.
            f"Measuring {file.name} failed: {said or f'it ended with status {done.returncode}'}",
            remedy="If it was killed (status -9), give it more memory or less context. Else make "
            "the file again; report it if it loads elsewhere.",
        )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Cost)


def _measured(job: _Job) -> Cost:
    told = {"slots": 1, "context": job.context, "threads": job.threads}
    server = start(Path(job.file), key=secrets.token_hex(32), **told)
    _asked(server, job.requests[0], 1)  # pages the weights in
    first_token, decode_speed = [], []
    for request in job.requests:
        started = time.perf_counter()
        _asked(server, request, 1, cache_prompt=False)
        first_token.append(1000 * (time.perf_counter() - started))
        reply = _asked(server, request, DECODED, ignore_eos=True)
        decode_speed.append(float(reply["timings"]["predicted_per_second"]))
    return Cost(tuple(first_token), tuple(decode_speed), _peak_memory())


def _asked(server: Any, request: Request, tokens: int, **options: Any) -> dict[str, Any]:
    handle = server.handle_completions
    if "messages" in request:
        handle = server.handle_chat_completions
    reply: dict[str, Any] = handle({**request, "temperature": 0.0, "max_tokens": tokens, **options})
    if "error" in reply:
        raise SystemExit(str(reply["error"]["message"]))
    return reply


def _peak_memory() -> int | None:
    """Reads the kernel's high-water mark; getrusage's counts the parent's memory too."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(marks[0]) if marks else None


if __name__ == "__main__":
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=_Job)
    print(msgspec.json.encode(_measured(told)).decode())
