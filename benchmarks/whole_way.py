"""Times the demo stage by stage, and checks what the README promises of it.

`python benchmarks/whole_way.py` runs it twice in a fresh workspace: the first run does all the
work, the second reuses. `--quick` tunes and judges on fewer rows, so its scores say little.
The last line is one JSON object: every figure with its goal, and "ok".
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from figures import Figure, at_least, at_most, conclude
from wherry.contracts import Scores
from wherry.runtime.plan import read_plan

ROOT = Path(__file__).parent.parent
NAME = "icd10-triage"
SUBJECTS = ("base", "tuned", "quantized")
SHARES = ("accuracy", "label_accuracy", "macro_f1")
COSTS = ("size", "peak_memory", "decode_speed", "first_token")


def main() -> None:
    """Runs, prints a table, prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows: a minute or two")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), quick=quick)
    conclude(figures)


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    """Runs the demo twice and reads what it wrote."""
    settings = _settings(folder, quick=quick)
    state = folder / ".wherry"
    try:
        first, again = (_run(settings, state) for _ in range(2))
        figures = [*_stages(state), at_most("first run", first, "s", 300)]
        figures += [at_most("second run", again, "s", 30), *_scores(state, quick=quick)]
    finally:
        _wherry(state, "stop", check=False)
    return figures


def _settings(folder: Path, *, quick: bool) -> Path:
    """Writes the demo's settings with a free port, beside a demo that may be running."""
    plan = read_plan(ROOT / "pipelines" / "settings" / "icd10.yaml")
    head = {"name": plan.name, "base": plan.base_uri, "data": {"repo": plan.data_repo}}
    rooms = {**plan.rooms, "deploy": {**plan.rooms["deploy"], "port": _free_port()}}
    if quick:
        rooms |= {"tune": {"rows": 160}, "evaluate": {"rows": 63}}
        rooms |= {"gate": {"floors": {"accuracy": 0.001}, "min_rows": 30}}
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump({**head, **rooms}))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(settings: Path, state: Path) -> float:
    started = time.monotonic()
    _wherry(state, "run", "--settings", str(settings))
    return time.monotonic() - started


def _wherry(state: Path, *arguments: str, check: bool = True) -> None:
    command = [sys.executable, "-c", "from wherry.cli import main; main()", *arguments]
    environment = {**os.environ, "WHERRY_HOME": str(state)}
    subprocess.run(command, cwd=ROOT, env=environment, check=check, stdout=sys.stderr)


def _stages(state: Path) -> list[Figure]:
    """The first run's seconds, stage by stage."""
    events = min((state / "runs").glob("*/events.jsonl"), key=lambda path: path.parent.name)
    rows: list[dict[str, Any]] = [json.loads(line) for line in events.read_text().splitlines()]
    return [Figure(row["stage"], row["seconds"], "s") for row in rows if row["kind"] == "done"]


def _scores(state: Path, *, quick: bool) -> list[Figure]:
    # The ledger keeps what a release stands on; the base model's scores lie in the run.
    newest = {
        scores.subject: scores
        for path in sorted((state / "runs").glob("*/*/*/scores"))
        for scores in [Scores.read(path)]
    }
    scores = {each: newest[each] for each in SUBJECTS}

    def value(subject: str, metric: str) -> Figure:
        found = scores[subject].find(metric)
        if found is None or found.value is None:
            raise SystemExit(f"{subject} has no {metric}")
        share = found.unit == ""
        number = 100 * found.value if share else found.value
        return Figure(f"{subject} {metric}", number, "%" if share else found.unit)

    figures = [value(each, metric) for metric in SHARES for each in SUBJECTS]
    figures += [value("quantized", metric) for metric in COSTS]
    for metric in ("accuracy", "label_accuracy"):
        gain = value("tuned", metric).value - value("base", metric).value
        figures.append(at_least(f"gain in {metric}", gain, "points", 0 if quick else 40))
    lost = value("tuned", "accuracy").value - value("quantized", "accuracy").value
    return [*figures, at_most("lost by quantization", lost, "points", 100 if quick else 2)]


if __name__ == "__main__":
    main()
