"""Hostile data through the real command line: bounded memory, a line's number, nothing lost."""

import gzip
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.fakes.rows import lines, rows

pytestmark = [pytest.mark.faults, pytest.mark.local]

INGEST = (sys.executable, "-m", "wherry.ingest")
VALIDATE = (sys.executable, "-c", "from wherry.cli import main; main()", "validate")
BOUND = 700 << 20
"""Resident bytes that no input may cost: well under the line of a gigabyte."""
SECRET = "hunter" + "2-not-for-logs"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    peak: int
    """Resident bytes at most."""


MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(peak * 1024))
sys.exit(code)
"""
"""Runs a command from a small process: a child's peak begins with its parent's memory."""


def called(folder: Path, *command: str, **environment: str) -> Done:
    """Runs a command in a folder and watches its memory."""
    peak = folder / "peak"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(peak), *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "WHERRY_HOME": str(folder / ".wherry"), **environment},
    )
    return Done(done.returncode, done.stdout.decode(errors="replace"), int(peak.read_text()))


def suite(folder: Path, **changes: object) -> Path:
    path = folder / "suite.yaml"
    minimum = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 10},
        "severity": "critical",
    }
    path.write_text(yaml.safe_dump({"name": "rows", "expectations": [minimum], **changes}))
    return path


def ingested(folder: Path, data: Path, **settings: object) -> Done:
    said = json.dumps({"splits": ["train"], **settings})
    return called(
        folder, *INGEST, "--repo", f"file:{data.name}", "--dataset", "out", "--settings", said
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of sound rows: lines 1 to 30."""
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(lines(rows(30)))
    return folder


def spoilt(data: Path, line: bytes, at: int = 7) -> Path:
    """Puts a line at a number, counted from 1."""
    found = (data / "train.jsonl").read_bytes().splitlines(keepends=True)
    (data / "train.jsonl").write_bytes(b"".join([*found[: at - 1], line + b"\n", *found[at - 1 :]]))
    return data


def good(**changes: str) -> bytes:
    text = json.dumps(rows(1)[0])
    for old, new in changes.items():
        text = text.replace(old, new)
    return text.encode()


HOSTILE = {
    "nesting": b'{"id": "x", "extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge integer": b'{"id": ' + b"9" * 5_000 + b"}",
    "raw NUL": good(Disorder="Dis\\u0000order").replace(b"\\u0000", b"\x00"),
    "bad UTF-8": good().replace(b"Disorder", b"\xff\xfe"),
    "lone surrogate": good(Disorder="\\ud800"),
    "NaN": b'{"id": "x", "score": NaN, "messages": []}',
    "duplicate key": good().replace(b'{"id"', b'{"label": "skin", "id"', 1),
    "cut": good()[:40],
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_row_stops_ingest_with_its_line_and_leaves_nothing(
    tmp_path: Path, data: Path, line: bytes
) -> None:
    done = ingested(tmp_path, spoilt(data, line))
    assert done.code == 1
    assert "E_DATA" in done.out
    assert "train.jsonl, line 7" in done.out
    assert "Traceback" not in done.out
    assert not (tmp_path / "out").exists()


def test_hostile_rows_are_set_aside_under_a_cap_and_no_good_row_is_lost(
    tmp_path: Path, data: Path
) -> None:
    for line in HOSTILE.values():
        spoilt(data, line)
    done = ingested(tmp_path, data, quarantine={"rows": len(HOSTILE)})
    assert done.code == 0, done.out
    made = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert made["splits"][0]["rows"] == 30
    assert made["set_aside"] == len(HOSTILE)
    aside = [
        json.loads(one) for one in (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
    ]
    assert [one["line"] for one in aside] == list(range(7, 7 + len(HOSTILE)))
    assert all(one["reason"] for one in aside)
    assert ingested(tmp_path, data, quarantine={"rows": len(HOSTILE) - 1}).code == 1


@pytest.mark.slow
def test_a_line_of_a_gigabyte_is_told_by_its_number_in_bounded_memory(
    tmp_path: Path, data: Path
) -> None:
    with (data / "train.jsonl").open("ab") as file:
        file.write(b'{"id": "')
        for _ in range(1 << 10):
            file.write(b"a" * (1 << 20))
        file.write(b'"}\n')
    done = ingested(tmp_path, data)
    assert done.code == 1
    assert "train.jsonl, line 31" in done.out
    assert done.peak < BOUND
    done = ingested(tmp_path, data, quarantine={"rows": 1})
    assert done.code == 0, done.out
    assert done.peak < BOUND
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == lines(rows(30))


def test_a_zip_bomb_is_refused_in_bounded_memory(tmp_path: Path, data: Path) -> None:
    with gzip.open(data / "train.jsonl.gz", "wb", compresslevel=9) as file:
        for _ in range(2 << 10):
            file.write(b" " * (1 << 20))
    (data / "train.jsonl").unlink()
    done = ingested(tmp_path, data, files={"train": "train.jsonl.gz"})
    assert done.code == 1
    assert "E_FORMAT" in done.out or "E_DATA" in done.out
    assert done.peak < BOUND
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "address",
    ["file:/etc", "file:../..", "http://example.org/data", "ftp://host/data", "file:///etc"],
)
def test_an_address_outside_the_allow_list_is_refused(tmp_path: Path, address: str) -> None:
    done = called(tmp_path, *INGEST, "--repo", address, "--dataset", "out")
    assert done.code == 2
    assert "E_URI" in done.out
    assert not (tmp_path / "out").exists()


def test_a_link_out_of_the_data_is_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "outside.jsonl").write_bytes(lines(rows(3)))
    (data / "train.jsonl").unlink()
    (data / "train.jsonl").symlink_to(tmp_path / "outside.jsonl")
    done = ingested(tmp_path, data)
    assert done.code != 0
    assert "train.jsonl" in done.out
    assert not (tmp_path / "out").exists()


def test_an_empty_and_a_one_row_data_set_fail(tmp_path: Path) -> None:
    for count, told in ((0, "no row"), (1, "1 row")):
        (tmp_path / "a.jsonl").write_bytes(lines(rows(count)))
        done = called(tmp_path, *VALIDATE, "a.jsonl", "--suite", str(suite(tmp_path)))
        assert done.code == 1, done.out
        assert told in done.out


def test_a_secret_in_an_address_is_in_no_output(tmp_path: Path) -> None:
    done = called(
        tmp_path, *INGEST, "--repo", f"https://user:{SECRET}@127.0.0.1:1/data.git", "--dataset", "o"
    )
    assert done.code == 1
    assert "127.0.0.1" in done.out
    assert SECRET not in done.out


def test_a_name_with_line_ends_and_escapes_is_shown_escaped(tmp_path: Path, data: Path) -> None:
    (data / "evil\n\x1b[31mname.jsonl").write_bytes(lines(rows(1)))
    done = ingested(tmp_path, data)
    assert "\x1b[31m" not in done.out
    assert "evil" in done.out
    assert done.code == 1


@pytest.mark.parametrize("place", ["answer", "label"])
def test_raw_personal_data_is_in_no_report_log_or_result(tmp_path: Path, place: str) -> None:
    canary = "jane.canary" + "@example.org"
    found = rows(30)
    for one in found[4:9]:
        if place == "label":
            one["label"] = canary
        else:
            one["messages"][1]["content"] = f"Write to {canary} at once"
    (tmp_path / "a.jsonl").write_bytes(lines(found))
    never = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "pii_email", "value_set": [False]},
        "severity": "critical",
    }
    minimum = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
    path = suite(tmp_path, expectations=[minimum, never])
    done = called(
        tmp_path, *VALIDATE, "a.jsonl", "--suite", str(path), "--json",
        "--page", "page.html", "--report", "report.json",
    )  # fmt: skip
    assert done.code == 1
    assert "pii_email" in done.out
    assert canary not in done.out
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "a.jsonl":
            assert canary.encode() not in file.read_bytes(), file
