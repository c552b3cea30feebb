"""Measures what a GGUF file costs to run, in a process that does nothing else."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import xllamacpp

import wherry
from wherry.contracts.errors import FormatError
from wherry.quantize.ladder import Speed

_DECODED: Final = 48
"""Tokens that each run generates."""


class _Job(msgspec.Struct):
    """What the measured process is told."""

    file: str
    prompts: list[list[int]]
    threads: int


def measure(file: Path, prompts: Sequence[Sequence[int]], *, threads: int) -> Speed:
    """Measures a file's speed and memory in a fresh process.

    Args:
        file: the model.
        prompts: the tokens of one prompt a run; each starts with nothing cached.
        threads: CPU threads; 0 for all that this process may use.

    Returns:
        Medians over the runs; of no run all is None. The memory is that of the whole process:
        Python, llama.cpp, the weights that were touched, the cache of one slot.

    Raises:
        FormatError: if the process fails.
    """
    if not prompts:
        return Speed()
    package = Path(wherry.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=msgspec.json.encode(_Job(str(file), [list(ids) for ids in prompts], threads)),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])},
    )
    if done.returncode:
        raise FormatError(
            f"Measuring {file.name} failed: {done.stderr.decode(errors='replace')[-500:].strip()}",
            remedy="Make the file again; report it if it loads elsewhere.",
        )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Speed)


def _measured(job: _Job) -> Speed:
    server = _server(job)
    server.handle_completions({"prompt": job.prompts[0], "n_predict": 1})  # pages the weights in
    first_token, decode_speed = [], []
    for prompt in job.prompts:
        asked = {"prompt": prompt, "cache_prompt": False, "temperature": 0.0}
        started = time.perf_counter()
        server.handle_completions({**asked, "n_predict": 1})
        first_token.append(1000 * (time.perf_counter() - started))
        reply = server.handle_completions({**asked, "n_predict": _DECODED, "ignore_eos": True})
        decode_speed.append(float(reply["timings"]["predicted_per_second"]))
    return Speed(statistics.median(first_token), statistics.median(decode_speed), _peak_memory())


def _server(job: _Job) -> xllamacpp.Server:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = job.file
    parameters.n_parallel = 1
    parameters.n_ctx = max(len(prompt) for prompt in job.prompts) + _DECODED + 1
    threads = job.threads or len(os.sched_getaffinity(0))
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 1  # errors alone
    parameters.warmup = parameters.fit_params = parameters.ui = False
    # Its default keeps up to 8 GiB of old prompts.
    parameters.cache_ram_mib = 0
    return xllamacpp.Server(parameters)


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
