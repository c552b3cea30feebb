"""`wherry validate` and `wherry validate init` as a person and as a machine meets them."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from wherry.cli import main
from wherry.contracts.validation import ValidationReport

LABELS = ("ear", "eye", "skin")


def wherry(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command in this process: Great Expectations takes seconds to import."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "argv", ["wherry", *arguments])
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def row(number: int, **changed: Any) -> dict[str, Any]:
    label = LABELS[number % 3]
    asked = f"Which part of a body has rash number {number * 7919}?"
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": label}]
    return {"id": f"r{number}", "messages": turns, "label": label, **changed}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def suite(folder: Path, *rules: dict[str, Any], least: int = 1) -> Path:
    count = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": least},
        "severity": "critical",
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "expectations": [count, *rules]}))
    return path


def never(column: str, severity: str = "critical") -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": column, "value_set": [False]},
        "severity": severity,
        "notes": f"No {column} here.",
    }


def said(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join(done.stderr.split())


class TestUsage:
    def test_help_tells_of_both_ways(self, tmp_path: Path) -> None:
        done = wherry(tmp_path, "validate", "--help")
        assert done.returncode == 0
        for words in ("FILE...", "--suite", "--quarantine", "--page", "\n  init "):
            assert words in done.stdout

    def test_a_file_without_a_suite_is_wrong_usage(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1))
        done = wherry(tmp_path, "validate", "a.jsonl")
        assert done.returncode == 2
        assert "E_SETTINGS No suite was given" in said(done)
        assert "wherry validate init FILE -o suite.yaml" in said(done)

    def test_a_wrong_option_is_told_by_the_name_that_a_person_typed(self, tmp_path: Path) -> None:
        done = wherry(tmp_path, "validate", "a.jsonl", "--kind", "poem")
        assert done.returncode == 2
        assert "See `wherry validate --help`." in done.stderr
        assert "judge" not in done.stderr

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        suite(tmp_path)
        done = wherry(tmp_path, "validate", "no.jsonl", "--suite", "suite.yaml")
        assert (done.returncode, said(done).partition(" Remedy")[0]) == (
            1,
            "E_MISSING no.jsonl does not exist.",
        )

    def test_a_folder_is_answered_with_the_files_in_it(self, tmp_path: Path) -> None:
        suite(tmp_path)
        (tmp_path / "data").mkdir()
        write(tmp_path / "data" / "train.jsonl", row(1))
        done = wherry(tmp_path, "validate", "data", "--suite", "suite.yaml")
        assert done.returncode == 2
        assert "Name its files: train.jsonl." in said(done)

    def test_two_files_of_one_split_are_told_apart_by_a_person(self, tmp_path: Path) -> None:
        suite(tmp_path)
        for name in ("a.jsonl", "b.jsonl"):
            write(tmp_path / name, row(1))
        done = wherry(tmp_path, "validate", "a.jsonl", "b.jsonl", "--suite", "suite.yaml")
        assert done.returncode == 2
        assert "--split train=FILE --split test=FILE" in said(done)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("a: [b", "suite.yaml is no YAML: line 1, column 6"),
            ("- a", "suite.yaml holds list, expected a mapping with `expectations`."),
            ("\x00", "suite.yaml is no YAML"),
        ],
    )
    def test_a_suite_that_cannot_be_read_says_where(
        self, text: str, told: str, tmp_path: Path
    ) -> None:
        write(tmp_path / "a.jsonl", row(1))
        (tmp_path / "suite.yaml").write_text(text)
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", "suite.yaml")
        assert done.returncode == 2
        assert told in said(done)

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("promt=question", "unknown field 'promt'"),
            ("prompt", "--columns 'prompt' is no pair, expected NAME=VALUE."),
        ],
    )
    def test_a_wrong_column_is_named(self, given: str, told: str, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1))
        suite(tmp_path)
        options = ("--suite", "suite.yaml", "--columns", given)
        done = wherry(tmp_path, "validate", "a.jsonl", *options)
        assert done.returncode == 2
        assert told in said(done)

    def test_machines_get_the_error_as_json(self, tmp_path: Path) -> None:
        done = wherry(tmp_path, "validate", "a.jsonl", "--json")
        assert json.loads(done.stdout)["error"]["code"] == "E_MISSING"


class TestInit:
    def test_it_writes_a_suite_and_says_what_to_do_next(self, tmp_path: Path) -> None:
        write(tmp_path / "train.jsonl", *map(row, range(40)))
        done = wherry(tmp_path, "validate", "init", "train.jsonl", "-o", "mine.yaml")
        assert done.returncode == 0, done.stderr
        assert "fitted to all 40 rows." in done.stdout
        assert "wherry validate train.jsonl --suite mine.yaml" in done.stdout
        assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["name"] == "mine"

    def test_it_replaces_nothing_unless_told_to(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", *map(row, range(9)))
        (tmp_path / "suite.yaml").write_text("mine")
        done = wherry(tmp_path, "validate", "init", "a.jsonl")
        assert done.returncode == 2
        assert "--force" in said(done)
        assert (tmp_path / "suite.yaml").read_text() == "mine"
        assert wherry(tmp_path, "validate", "init", "a.jsonl", "--force").returncode == 0
        assert (tmp_path / "suite.yaml").read_text() != "mine"

    def test_what_the_data_breaks_today_is_told_without_its_text(self, tmp_path: Path) -> None:
        leak = [{"role": "user", "content": "Ask ann@example.org"}, *row(1)["messages"][1:]]
        lines = [*map(row, range(40)), row(41, messages=leak)]
        write(tmp_path / "a.jsonl", *lines)
        done = wherry(tmp_path, "validate", "init", "a.jsonl")
        assert ["✗", "pii_email", "1", "row", "critical"] in [
            line.split() for line in done.stdout.splitlines()
        ]
        assert "ann@" not in done.stdout + done.stderr + (tmp_path / "suite.yaml").read_text()

    def test_the_next_command_says_how_the_rows_were_read(self, tmp_path: Path) -> None:
        lines = ({"q": f"What is {n} and {n * 7}?", "a": f"It is {n}."} for n in range(20))
        write(tmp_path / "my rows.jsonl", *lines)
        options = ("--kind", "instruction", "--columns", "prompt=q", "--columns", "completion=a")
        done = wherry(tmp_path, "validate", "init", "my rows.jsonl", *options)
        assert done.returncode == 0, done.stderr
        assert (
            "wherry validate 'my rows.jsonl' --kind instruction --columns prompt=q "
            "--columns completion=a --suite suite.yaml --page report.html"
        ) in done.stdout

    def test_no_row_is_no_suite(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(bytes(range(256)))
        done = wherry(tmp_path, "validate", "init", "a.jsonl")
        assert done.returncode == 1
        assert "E_DATA a.jsonl: no row is of kind chat" in said(done)
        assert not (tmp_path / "suite.yaml").exists()


@pytest.mark.local
class TestJudging:
    """With Great Expectations, which takes seconds to import."""

    def test_a_fitted_suite_lets_the_same_file_pass(self, tmp_path: Path) -> None:
        write(tmp_path / "train.jsonl", *map(row, range(60)))
        write(tmp_path / "test.jsonl", *map(row, range(100, 130)))
        files = ("train.jsonl", "test.jsonl")
        assert wherry(tmp_path, "validate", "init", *files).returncode == 0
        done = wherry(
            tmp_path, "validate", *files, "--suite", "suite.yaml", "--page", "p.html",
            "--report", "r.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Fit: " in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert ValidationReport.read(tmp_path / "r.json").passed
        assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")

    def test_bad_data_is_exit_code_1_and_says_which_check(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1), row(2, id="r1"), row(1))
        path = suite(tmp_path, never("duplicate"), never("garbled", "warning"), least=50)
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name)
        assert done.returncode == 1
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert "✗ No duplicates 1 of 3 rows" in lines
        assert "✗ Enough rows at least 50 3" in lines
        assert "✓ Readable text 0 of 3 rows" in lines
        assert "Not fit: 1 of 3 checks hold on 3 rows, 2 critical failed." in lines

    def test_a_warning_alone_is_told_and_passes(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1), row(1))
        path = suite(tmp_path, never("duplicate", "warning"))
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name)
        assert done.returncode == 0
        assert "! No duplicates" in done.stdout
        assert "1 warned." in done.stdout

    def test_machines_get_one_json_object_and_the_same_exit_code(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1), row(1))
        path = suite(tmp_path, never("duplicate"))
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name, "--json")
        assert done.returncode == 1
        assert ValidationReport.from_json(done.stdout).failures[0].column == "duplicate"
        assert done.stderr == ""

    def test_an_empty_file_never_passes(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text("")
        path = suite(tmp_path)
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name)
        assert done.returncode == 1
        assert done.stdout == "Not fit: there is no row.\n"

    def test_unreadable_rows_are_counted_listed_and_capped(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", *map(row, range(30)))
        path.write_text(path.read_text() + "ann@example.org\n[7]\n")
        arguments = ("validate", "a.jsonl", "--suite", suite(tmp_path).name)
        options = ("--quarantine", "q.jsonl", "--max-bad-share", "0.1")
        done = wherry(tmp_path, *arguments, *options)
        assert done.returncode == 0, done.stderr
        assert "2 rows could not be read:" in done.stdout
        aside = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
        assert [(each["file"], each["line"]) for each in aside] == [
            ("a.jsonl", 31),
            ("a.jsonl", 32),
        ]
        assert "ann@" not in done.stdout + (tmp_path / "q.jsonl").read_text()
        refused = wherry(tmp_path, *arguments)
        assert refused.returncode == 1
        assert "E_DATA 2 rows cannot be read" in said(refused)

    @pytest.mark.parametrize(
        ("old", "new"),
        [("values_to_be_in_set", "values_to_be_in_sett"), ("column: dup", "column: dupp")],
    )
    def test_a_suite_with_a_typo_is_wrong_usage(self, old: str, new: str, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", row(1))
        path = suite(tmp_path, never("duplicate"))
        path.write_text(path.read_text().replace(old, new))
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name)
        assert done.returncode == 2
        assert new.removeprefix("column: ") in said(done)
        assert "Traceback" not in done.stderr

    def test_an_earlier_report_is_compared_with(self, tmp_path: Path) -> None:
        path = suite(tmp_path)
        write(tmp_path / "a.jsonl", *map(row, range(10)))
        options = ("--suite", path.name, "--report", "r.json")
        assert wherry(tmp_path, "validate", "a.jsonl", *options).returncode == 0
        write(tmp_path / "a.jsonl", *map(row, range(12)))
        wherry(tmp_path, "validate", "a.jsonl", "--suite", path.name, "--since", "r.json",
               "--report", "now.json")  # fmt: skip
        since = ValidationReport.read(tmp_path / "now.json").since
        assert since is not None
        assert ("rows of train", "10", "12") in [(c.what, c.before, c.now) for c in since.changes]

    def test_a_label_cannot_steer_the_terminal(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", *(row(n, label="\x1b[31mred") for n in range(4)))
        rule = {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "label", "value_set": ["\x1b[2Jgone"]},
        }
        done = wherry(tmp_path, "validate", "a.jsonl", "--suite", suite(tmp_path, rule).name)
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
