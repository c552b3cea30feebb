"""python -m wherry.tune.node: one process of a job, which reads and leaves all in a bucket."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wherry.contracts import Manifest, digest_bytes
from wherry.contracts.errors import PreemptedError, WherryError, as_wherry_error
from wherry.entry import main
from wherry.progress import stage
from wherry.tune.adapters.bucket import Bucket
from wherry.tune.outputs import Outputs
from wherry.tune.results import ADAPTER, CURVE, FAILURE, MERGED, RESULT
from wherry.tune.run import run_here
from wherry.tune.submit import Failure
from wherry.workspace import state


def run_node(
    exchange: str,
    dataset: str,
    base: str,
    results: str,
    settings: str = "",
    merged: int = 0,
    start: str = "",
    teacher: str = "",
) -> None:
    """Tunes with inputs from a bucket; killed anywhere, it goes on on any machine.

    Args:
        exchange: the URI of the folder that all else lies in.
        dataset: the sealed data set's folder there.
        base: the base model's.
        results: where the sealed results go.
        settings: a `TuneSettings` as JSON.
        merged: 1 for the base with the adapter folded in, too.
        start: an adapter's folder to go on from, or nothing.
        teacher: a teacher's folder, or nothing.
    """
    bucket = Bucket(exchange)
    with _told(bucket, results):
        out = state() / "result"
        if _first():
            shutil.rmtree(out, ignore_errors=True)
        with stage("tune") as report:
            run_here(
                fetched(bucket, dataset),
                fetched(bucket, base),
                Outputs(out / ADAPTER, out / CURVE, out / MERGED if merged else None),
                settings,
                fetched(bucket, start) if start else None,
                fetched(bucket, teacher) if teacher else None,
                f"{bucket.uri}/checkpoints",
                report,
                lambda: _handed_back(out, bucket, f"{results}/{RESULT}"),
            )


def _handed_back(out: Path, bucket: Bucket, at: str) -> None:
    Manifest.seal(out)
    bucket.push(out, at)


def fetched(bucket: Bucket, at: str) -> Path:
    """Gives a folder of the bucket on this machine; its processes share one copy."""
    place = state() / "fetched" / digest_bytes(f"{bucket.uri}/{at}".encode())[-16:]
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            bucket.pull(at, place)
    return place


@contextmanager
def _told(bucket: Bucket, results: str) -> Iterator[None]:
    """Leaves the cause of a failure where the submitting task looks for it."""
    try:
        yield
    except PreemptedError:
        raise
    except (WherryError, OSError) as raised:
        failure = Failure.of(as_wherry_error(raised))
        bucket.write(f"{results}/{FAILURE}", failure.to_json().encode())
        raise


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    main(run_node)
