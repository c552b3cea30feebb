"""Compares the quantize room with llama.cpp's own tools, on the same model and file types.

`python benchmarks/quantize.py` writes SmolLM2-135M as F16, gives that file to ``llama-quantize``
and to Wherry's writer, and compares what comes out: each tensor's type and bytes, the size, the
CPU-seconds, and the KL to the F16 file on held-out rows of the demo's data. Each type is made
plainly and, where that changes it, with an importance matrix from training rows, the same for both.
llama.cpp's tools are Debian's package ``llama.cpp-tools`` of sid, unpacked with its libraries into
a folder of the benchmark's own; where they cannot be had it says so, and the goals count as missed.
`--quick` takes three types. The last line is one JSON object: every figure with its goal, and "ok".
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

import wherry.quantize.adapters.llamacpp as llamacpp  # before torch, see there
from figures import Figure, at_least, at_most, conclude
from tune import _fetched, _ingested

# isort: split
import gguf
import numpy as np
from numpy.typing import NDArray

from wherry.contracts import Dataset
from wherry.quantize.adapters import gguf_file
from wherry.quantize.adapters.transformers import TunedModel
from wherry.quantize.step import Logits, Sample, distinct_samples, diverge
from wherry.quantize.tensor_types import NEED_IMPORTANCE

TYPES: Final = (
    *("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0"),
    *("IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XXS", "Q2_K"),
)
QUICK: Final = ("Q8_0", "Q4_K_M", "IQ4_XS")
WEIGHED: Final = ("Q4_K_M", "Q4_0", "IQ4_NL", "IQ4_XS", "IQ3_XXS", "Q2_K")
"""Those that are made with an importance matrix too."""
SLOWER: Final = 2.0
"""Goal: CPU-seconds over llama-quantize's."""
PACKAGES: Final = (
    *("llama.cpp-tools", "libllama0", "libggml0"),
    *("libc6", "libstdc++6", "libgcc-s1", "libssl3t64"),
)
LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
Importance = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Tools:
    """llama.cpp's programs, unpacked with their own C library."""

    folder: Path

    def quantize(self, source: Path, made: Path, kind: str, matrix: Path | None) -> None:
        """Runs ``llama-quantize``."""
        libraries = self.folder / LIBRARIES
        path = ":".join(map(str, (libraries, libraries / "llama", libraries / "ggml/backends0")))
        loader = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", path]
        given = ["--imatrix", str(matrix)] if matrix else []
        program = str(self.folder / "usr/bin/llama-quantize")
        threads = str(len(os.sched_getaffinity(0)))
        command = [*loader, program, *given, str(source), str(made), kind, threads]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"llama-quantize failed on {kind}: {done.stderr[-400:]}")


@dataclass(frozen=True)
class Compared:
    """One type, made by both."""

    name: str
    equal: float
    """Share of the tensors, in [0, 1], of one type and the same bytes."""
    size: float
    """Ours over theirs."""
    seconds: tuple[float, float]
    """Ours and theirs, on the clock."""
    cpu: tuple[float, float]
    kl: tuple[float, float]
    """To F16, in nats a token."""


@dataclass(frozen=True)
class Bench:
    """One model, and where to put its types."""

    folder: Path
    source: gguf_file.Source
    tensors: gguf_file.Tensors
    plain: Path
    """The F16 file that both start from."""
    importance: Importance
    samples: Sequence[Sample]
    expected: Sequence[Logits]
    tools: Tools

    def compare(self, kind: str, importance: Importance | None) -> Compared:
        """Makes one type twice."""
        ours, theirs = self.folder / "ours.gguf", self.folder / "theirs.gguf"
        matrix = self._matrix(importance) if importance else None
        encoder = llamacpp.Encoder(0)
        with _clock() as own:
            gguf_file.write(ours, self.tensors, self.source, kind, encoder, importance)
        with _clock() as peer:
            self.tools.quantize(self.plain, theirs, kind, matrix)
        name = f"{kind}, weighed" if importance else kind
        equal, size = _equal(ours, theirs), ours.stat().st_size / theirs.stat().st_size
        kl = self.kl(ours)
        both = (kl, kl if equal == 1 else self.kl(theirs))
        return Compared(name, equal, size, (own.wall, peer.wall), (own.cpu, peer.cpu), both)

    def kl(self, file: Path) -> float:
        """Gives the mean KL to the F16 file."""
        return diverge(self.expected, _logits(file, self.samples)).kl

    def _matrix(self, importance: Importance) -> Path:
        """Writes the importance matrix in the form of ``llama-imatrix``."""
        path = self.folder / "importance.gguf"
        writer = gguf.GGUFWriter(path, "")
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", ["rows"])
        writer.add_uint32("imatrix.chunk_count", 1)
        writer.add_uint32("imatrix.chunk_size", 512)
        for name, values in importance.items():
            writer.add_tensor(f"{name}.in_sum2", values.reshape(1, -1))
            writer.add_tensor(f"{name}.counts", np.ones((1, 1), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


class _clock:  # noqa: N801  # reads as a verb
    """Measures a block: wall-clock and CPU-seconds of this process and its children."""

    wall = cpu = 0.0

    def __enter__(self) -> "_clock":
        self._wall, self._cpu = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, _cpu() - self._cpu


def _cpu() -> float:
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Runs, prints tables, prints the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three types")
    parser.add_argument("--base", type=Path, help="a folder of fetch_base, to save its time")
    parser.add_argument("--data", type=Path, help="a folder of ingest, to save its time")
    parser.add_argument("--tools", type=Path, help="a folder to keep llama.cpp's tools in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools, missing = _tools((options.tools or folder / "tools").absolute())
        if missing:
            print(f"llama.cpp's tools cannot be had: {missing}", file=sys.stderr)
            conclude([Figure("llama.cpp's tools at hand", 0, "", "1", ok=False)])
        base, data = options.base or _fetched(folder), options.data or _ingested(folder)
        bench = _bench(folder, base, data, tools)
        compared = list(_all(bench, QUICK if options.quick else TYPES))
    _show(compared)
    conclude(list(_figures(compared)))


def _all(bench: Bench, kinds: Sequence[str]) -> Iterator[Compared]:
    for kind in kinds:
        for importance in (None, bench.importance):
            if (importance and kind not in WEIGHED) or (not importance and kind in NEED_IMPORTANCE):
                continue
            yield (one := bench.compare(kind, importance))
            print(f"{one.name}: {one.equal:.1%} equal, KL {one.kl[0]:.4f}", file=sys.stderr)


def _bench(folder: Path, base: Path, data: Path, tools: Tools) -> Bench:
    source = gguf_file.Source.of_folder(base)
    model = TunedModel(base, base, threads=0)
    rows = Dataset.read(data / "dataset.json")
    weighed = [model.whole(row.messages) for row in rows.rows(data, "train")[:128]]
    found = model.importance(weighed)
    importance = {source.named(old): values for old, values in found.items()}
    held_out = (model.whole(row.messages) for row in rows.rows(data, "eval"))
    samples = distinct_samples(held_out, 1024)
    exact = gguf_file.to_gguf(model.tensors(), source)
    # llama-quantize reads F16: both start from the same rounded numbers.
    tensors = {
        name: values.astype(np.float16).astype(np.float32) if values.ndim > 1 else values
        for name, values in exact.items()
    }
    plain = folder / "plain.gguf"
    gguf_file.write(plain, tensors, source, "F16", llamacpp.encode)
    expected = list(_logits(plain, samples))
    return Bench(folder, source, tensors, plain, importance, samples, expected, tools)


def _logits(file: Path, samples: Sequence[Sample]) -> Iterator[Logits]:
    longest = max(len(sample.ids) for sample in samples)
    with closing(llamacpp.GgufModel(file, context=longest, threads=0)) as model:
        yield from model.logits(samples)


def _equal(ours: Path, theirs: Path) -> float:
    own, peer = _read(ours), _read(theirs)
    same = [
        name in peer
        and own[name].tensor_type == peer[name].tensor_type
        and np.array_equal(own[name].data, peer[name].data)
        for name in own
    ]
    if own.keys() != peer.keys():
        return 0.0
    for name in (name for name, one in zip(own, same, strict=True) if not one):
        kinds = (own[name].tensor_type.name, peer[name].tensor_type.name)
        print(f"  {name}: {kinds[0]} and {kinds[1]} differ", file=sys.stderr)
    return float(np.mean(same))


def _read(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def _show(compared: Sequence[Compared]) -> None:
    heads = ("tensors equal", "size, ratio", "s", "theirs", "CPU-s", "theirs", "KL", "theirs")
    table = Table("type", *heads, box=None)
    for one in compared:
        times = [f"{value:.1f}" for pair in (one.seconds, one.cpu) for value in pair]
        kl = [f"{value:.4f}" for value in one.kl]
        table.add_row(one.name, f"{one.equal:.1%}", f"{one.size:.4f}", *times, *kl)
    Console(highlight=False).print(table)


def _figures(compared: Sequence[Compared]) -> Iterator[Figure]:
    yield at_least("types compared", len(compared), "", 3)
    yield at_least("least share of equal tensors", min(one.equal for one in compared), "", 1)
    yield at_most("largest file, over theirs", max(one.size for one in compared), "", 1.001)
    cpu = [sum(one.cpu[side] for one in compared) for side in (0, 1)]
    yield at_most("CPU-seconds, over theirs", cpu[0] / cpu[1], "", SLOWER)
    worse = max(one.kl[0] - one.kl[1] for one in compared)
    yield at_most("largest KL above theirs", worse, "nats", 1e-6)
    kl = {one.name: one.kl[0] for one in compared}
    for name in kl.keys() & {f"{kind}, weighed" for kind in kl}:
        gain = kl[name] / kl[name.removesuffix(", weighed")]
        yield at_most(f"{name}: KL over that without weighing", gain, "", 1)


def _tools(folder: Path) -> tuple[Tools, str]:
    """Gives llama.cpp's tools, fetched if need be, and why not if they cannot be had."""
    tools = Tools(folder)
    if (folder / "usr/bin/llama-quantize").is_file():
        return tools, ""
    try:
        _unpack(folder)
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return tools, (said.strip().splitlines() or ["unknown"])[-1]
    return tools, ""


def _unpack(folder: Path) -> None:
    """Downloads Debian's packages through apt, with lists of its own, and installs nothing."""
    state = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial", "parts", "etc/apt.conf.d"):
        (state / name).mkdir(parents=True, exist_ok=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={keys}] http://deb.debian.org/debian sid main\n")
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": state / "parts",
        "Acquire::Check-Valid-Until": "false",
        "APT::Sandbox::User": "root",
    }
    apt = [
        "apt-get",
        *(part for key, value in options.items() for part in ("-o", f"{key}={value}")),
    ]
    for command in ([*apt, "update"], [*apt, "download", *PACKAGES]):
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=state)
    for package in state.glob("*.deb"):
        unpack = ["dpkg", "-x", str(package), str(folder)]
        subprocess.run(unpack, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
