"""wherry data diff, as a person and as a machine meets it."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.rows import splits, write
from wherry.cli.data import show
from wherry.contracts import Source
from wherry.diff.step import (
    DataDiff,
    LengthShift,
    Quantiles,
    Share,
    ShareShift,
    SplitRows,
    Version,
)

CONFIG = """\
[core]
    remote = store
['remote "store"']
    url = ../data-store
"""
ME = b"A <a@example.org>"


def version(revision: str, rows: int = 1_234_567) -> Version:
    source = Source("dvc:.", revision, "data", "md5:" + "0" * 32 + ".dir")
    return Version(source, "sha256:" + "0" * 64, rows)


def shown(found: DataDiff) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    show(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_large_figures_fit_into_eighty_columns() -> None:
    wide = Quantiles(1_000_000, 1_000_000, 1_000_000, 1_000_000)
    found = DataDiff(
        version("c0ffee" * 7),
        version(""),
        (SplitRows("train", *[1_234_567] * 6), SplitRows("eval", 1, 2, 3, 4, 5, 6)),
        (LengthShift("prompt_characters", "train", wide, wide, 1.0),),
        (
            ShareShift(
                "label",
                "train",
                0.25,
                (Share("a very long label of many words", 0.5, 0.25), Share("\x1b[31m", 0, 0.25)),
            ),
            ShareShift("language", "train", None, ()),
        ),
    )
    text = shown(found)
    table = text.split("\n\n", 1)[1]
    assert max(map(len, table.splitlines())) <= 80
    assert table.count("1,234,567") == 6
    assert "…\n" not in table
    assert "a very long l… 50.0% → 25.0%" in table
    assert "\x1b" not in text
    assert "not committed" in text
    assert "c0ffeec0ffee " in text


def test_the_same_rows_are_told_in_a_sentence() -> None:
    same = DataDiff(version("a"), version("b"), (SplitRows("train", 5, 5, 0, 0, 0, 0),), (), ())
    assert "The same rows." in shown(same)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository with two commits of its data, and a working tree as the second left it."""
    from dulwich import porcelain

    root = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        porcelain.init(str(root))
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text(CONFIG)
        (root / ".gitignore").write_text("/data\n/.dvc/tmp\n/.dvc/cache\n")
        for message, train in ((b"first", 30), (b"second", 36)):
            write(root / "data", splits(train=train))
            _pin(root)
            with contextlib.chdir(root):
                porcelain.add(str(root))
            porcelain.commit(str(root), message=message, author=ME, committer=ME)
        shutil.rmtree(root / ".dvc" / "cache")
    yield root


def _pin(root: Path) -> None:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        repo.add([str(root / "data")])
        repo.push()


def diff(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from wherry.cli import main; main()", "data", "diff", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.local
def test_two_revisions_are_compared_and_nothing_is_left(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = {path for path in checkout.rglob("*") if ".git" not in path.parts}
    done = diff(checkout, "HEAD~1", "HEAD")
    assert done.returncode == 0, done.stderr
    train = next(line for line in done.stdout.splitlines() if "train" in line)
    assert train.split() == ["train", "30", "36", "6", "0", "0", "0"]
    assert "Disorder" not in done.stdout + done.stderr
    after = {path for path in checkout.rglob("*") if ".git" not in path.parts}
    assert {path.relative_to(checkout).parts[:2] for path in after - before} <= {(".dvc", "tmp")}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.local
def test_machines_get_json_and_people_a_page_and_the_working_tree_is_a_version(
    checkout: Path, tmp_path: Path
) -> None:
    page = tmp_path / "changes.html"
    done = diff(checkout, "HEAD~1", "--json", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert "6 added" in page.read_text()
    assert "Disorder" not in page.read_text()
    found = json.loads(done.stdout)
    assert found["rows"][0] == {
        "split": "train",
        "before": 30,
        "after": 36,
        "added": 6,
        "removed": 0,
        "changed": 0,
        "moved_in": 0,
    }
    assert found["schema"] == "wherry.data-diff/1"
    assert diff(checkout, "HEAD", ".", "--path", "data").stdout.endswith("The same rows.\n")


@pytest.mark.local
def test_settings_say_how_rows_are_read(checkout: Path, tmp_path: Path) -> None:
    settings = {"name": "a", "base": "pkg://x/y", "data": {"repo": str(checkout)}}
    ingest = {"splits": ["train"], "clean": [{"cap": {"per_label": 5}}]}
    (tmp_path / "run.yaml").write_text(json.dumps({**settings, "ingest": ingest}))
    done = diff(tmp_path, "HEAD~1", "HEAD", "--settings", "run.yaml", "--json")
    assert done.returncode == 0, done.stderr
    [train] = json.loads(done.stdout)["rows"]
    assert (train["before"], train["after"]) == (15, 15)


@pytest.mark.local
def test_an_unknown_revision_is_one_clear_error(checkout: Path) -> None:
    done = diff(checkout, "v9", "HEAD", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "E_MISSING"
    assert "v9" in done.stdout
