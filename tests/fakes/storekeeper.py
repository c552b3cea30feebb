"""A process of its own that works on a release store: to be started many times, and killed.

python -m tests.fakes.storekeeper WHAT STATE [NUMBER …]; it prints one JSON line for each change
that the store acknowledged, and its last error's code.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.releases import NAME, candidate
from wherry.contracts import digest_file
from wherry.contracts.errors import ConflictError, WherryError, as_wherry_error
from wherry.ledger import CHAMPION, Ledger
from wherry.release import moves
from wherry.signing import load_keyring


def wait(state: Path) -> None:
    """Waits for the starting gun, so that all begin at once."""
    while not (state.parent / "go").exists():
        time.sleep(0.001)


def say(**fields: object) -> None:
    """Prints one line, at once."""
    print(json.dumps(fields), flush=True)


def first_start(state: Path) -> None:
    """Opens a store that may not be there yet, and registers the file that all register."""
    wait(state)
    folder = state.parent / f"work-{time.time_ns()}"
    folder.mkdir()
    with Ledger.open(state) as ledger:
        say(version=ledger.register(candidate(ledger, folder, b"the one file")).version)


def promote_once(state: Path, version: str) -> None:
    """Tries one promotion from generation 0."""
    with Ledger.open(state) as ledger:
        wait(state)
        generation = ledger.switch(
            CHAMPION, NAME, int(version), expected_generation=0, reason="race"
        )
        say(generation=generation, version=int(version))


def promote(state: Path, first: str, second: str, times: str) -> None:
    """Promotes two versions in turn until `times` promotions were acknowledged."""
    wait(state)
    conflicts = done = 0
    with Ledger.open(state) as ledger:
        while done < int(times):
            at = ledger.alias(NAME, CHAMPION)
            version = int(second) if at and at.version == int(first) else int(first)
            try:
                generation = ledger.switch(
                    CHAMPION,
                    NAME,
                    version,
                    expected_generation=at.generation if at else 0,
                    reason="race",
                )
            except ConflictError:
                conflicts += 1
                continue
            done += 1
            say(generation=generation, version=version)
    say(conflicts=conflicts)


def churn(state: Path, seed: str) -> None:
    """Publishes, registers and promotes new files until it is killed."""
    with Ledger.open(state) as ledger:
        for number in range(10_000):
            content = f"{seed}/{number}".encode() * 20_000
            at = ledger.alias(NAME, CHAMPION)
            release = ledger.register_and_switch(
                candidate(ledger, state.parent, content),
                CHAMPION,
                expected_generation=at.generation if at else 0,
                reason="churn",
            )
            now = ledger.alias(NAME, CHAMPION)
            say(version=release.version, generation=now.generation if now else 0)


def publish(state: Path, seed: str) -> None:
    """Publishes new files until it is killed."""
    source = state.parent / f"source-{seed}"
    with Ledger.open(state) as ledger:
        for number in range(10_000):
            source.write_bytes(f"{seed}/{number}".encode() * 500_000)
            ref = ledger.artifacts.publish(source, digest_file(source), "model.gguf")
            say(digest=ref.digest)


def roll_back(state: Path) -> None:
    """Rolls back to the first version from generation 2, under one key."""
    with Ledger.open(state) as ledger:
        generation = ledger.switch(
            CHAMPION,
            NAME,
            1,
            expected_generation=2,
            reason="bad",
            action="rollback",
            key="incident-7",
        )
        say(generation=generation)


def go_back(state: Path) -> None:
    """Rolls back as the command does: to the last healthy version, with the workspace's keys."""
    keyring = load_keyring(state / "keys")
    with Ledger.open(state) as ledger:
        say(ready=True)
        release = moves.roll_back(ledger, NAME, keyring=keyring, reason="bad")
        say(version=release.version)


def fill(state: Path) -> None:
    """Works on a disk that runs full, and goes on when there is room again."""
    filler = state.parent / "filler"
    with Ledger.open(state) as ledger:
        for version, content in enumerate((b"one", b"two"), 1):
            assert ledger.register(candidate(ledger, state.parent, content)).version == version
        wanted = candidate(ledger, state.parent, b"three")
        _fill_up(filler)
        before = ledger.verify()
        outcomes = {
            "publish": _try(lambda: candidate(ledger, state.parent, b"4" * 200_000)),
            "register": _try(lambda: ledger.register(wanted)),
            "switch": _try(
                lambda: ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="full")
            ),
        }
        after = ledger.verify()
        outcomes["open"] = _try(lambda: Ledger.open(state.parent / "new").close())
        filler.unlink()
        generation = ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason="room")
        version = ledger.register(wanted).version
        say(
            **outcomes,
            ok=after.ok,
            unchanged=before == after,
            generation=generation,
            version=version,
            verified=ledger.verify().ok,
        )


def _fill_up(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue


def _try(work: Callable[[], object]) -> str:
    try:
        work()
    except (WherryError, OSError) as error:
        return as_wherry_error(error).code
    return "done"


WORK = {
    work.__name__: work
    for work in (first_start, promote_once, promote, churn, publish, roll_back, go_back, fill)
}

if __name__ == "__main__":
    try:
        WORK[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    except (WherryError, OSError) as raised:
        error = as_wherry_error(raised)
        say(error=error.code)
        sys.exit(error.exit_code)
