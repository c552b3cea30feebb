"""Ingest on real DVC: a git repository with a store beside its data, as a clone has it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain

from tests.fakes.rows import lines, row, splits, write
from wherry.contracts import Dataset, Manifest
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    MissingError,
)
from wherry.ingest.run import resolve, run

pytestmark = pytest.mark.local

SETTINGS = '{"folder": "icd10"}'
CONFIG = """\
[core]
    remote = store
    autostage = false
['remote "store"']
    url = ../data-store
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository with one commit, its data pushed to ``data-store/`` in the repository."""
    root = tmp_path_factory.mktemp("origin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        porcelain.init(str(root))
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text(CONFIG)
        (root / ".gitignore").write_text("/data\n")
        (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        write(root / "data" / "icd10", splits())
        pin(root)
        commit(root)
    yield root


def opened(root: Path) -> Any:
    from dvc.repo import Repo  # a second: not while collecting

    return Repo(str(root))


def open_store(*where: str) -> Any:
    from wherry.ingest.adapters import dvc

    return dvc.open_store(*where)


def pin(root: Path) -> None:
    """What ``dvc add data && dvc push`` does."""
    with opened(root) as repo:
        repo.add([str(root / "data")])
        repo.push()


def commit(root: Path) -> str:
    """Commits all that git does not ignore."""
    with contextlib.chdir(root):
        porcelain.add(str(root))
    me = b"A <a@example.org>"
    return str(porcelain.commit(str(root), message=b"x", author=me, committer=me), "ascii")


@pytest.fixture
def checkout(origin: Path, tmp_path: Path) -> Path:
    """What a plain clone has: no data, no cache, only the store that git keeps."""
    copy = tmp_path / "checkout"
    shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("data", "cache", "tmp"))
    return copy


@pytest.fixture
def workbench(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the person has who made the data: data and cache too."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    copy = tmp_path / "workbench"
    shutil.copytree(origin, copy)
    return copy


def objects(root: Path) -> dict[str, Path]:
    """The store's objects by what they hold."""
    found = {}
    for path in (root / "data-store").rglob("*"):
        if path.is_file():
            found["listing" if path.suffix == ".dir" else _split_in(path)] = path
            path.chmod(0o644)
    return found


def _split_in(path: Path) -> str:
    return path.read_text().partition('"id": "')[2].partition("-")[0]


def everything(root: Path) -> dict[str, bytes]:
    """All files of a checkout but git's own."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def test_a_fresh_clone_gives_the_data(checkout: Path, tmp_path: Path) -> None:
    source = resolve(str(checkout))
    run(tmp_path / "out", str(checkout), checksum=source.checksum, settings=SETTINGS)
    Manifest.verified(tmp_path / "out")
    dataset = Dataset.read(tmp_path / "out" / DATASET_NAME)
    assert dataset.source == source
    assert [row.id for row in dataset.rows(tmp_path / "out", "test")][:2] == ["test-0", "test-1"]
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == lines(splits()["train"])


def test_the_source_is_the_commit_that_pins_it(checkout: Path) -> None:
    head = porcelain.Repo(str(checkout)).head().decode()
    assert resolve(str(checkout)).revision == head
    assert resolve(str(checkout), "HEAD").revision == head
    assert resolve(str(checkout)).checksum.endswith(".dir")


def test_a_pin_that_is_not_committed_has_no_revision(workbench: Path) -> None:
    before = resolve(str(workbench))
    write(workbench / "data" / "icd10", splits(train=33))
    pin(workbench)
    after = resolve(str(workbench))
    assert after.revision == ""
    assert after.checksum != before.checksum


@pytest.mark.parametrize("git", ["no commit", "no git"])
def test_a_folder_without_commits_works(checkout: Path, tmp_path: Path, git: str) -> None:
    shutil.rmtree(checkout / ".git")
    if git == "no commit":
        porcelain.init(str(checkout))
    run(tmp_path / "out", str(checkout), settings=SETTINGS)
    assert Dataset.read(tmp_path / "out" / DATASET_NAME).source.revision == ""


def test_an_older_revision_gives_the_older_data(workbench: Path, tmp_path: Path) -> None:
    old = porcelain.Repo(str(workbench)).head().decode()
    write(workbench / "data" / "icd10", splits(train=33))
    pin(workbench)
    commit(workbench)
    run(tmp_path / "new", str(workbench), settings=SETTINGS)
    run(tmp_path / "old", str(workbench), old, settings=SETTINGS)
    assert Dataset.read(tmp_path / "new" / DATASET_NAME).split("train").rows == 33
    dataset = Dataset.read(tmp_path / "old" / DATASET_NAME)
    assert (dataset.split("train").rows, dataset.source.revision) == (30, old)


def test_nothing_is_written_into_the_checkout_but_dvcs_scratch(
    checkout: Path, tmp_path: Path
) -> None:
    before = everything(checkout)
    run(tmp_path / "out", str(checkout), settings=SETTINGS)
    new = everything(checkout).items() - before.items()
    assert {name for name, _ in new} <= {".dvc/tmp/btime"}


def test_dvcs_shared_cache_is_not_used(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in ``/var/tmp``, which a pod may not have and a second task may hold a lock in."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    monkeypatch.setattr("dvc.dirs.APPNAME", f"dvc-{tmp_path.name}")
    run(tmp_path / "out", str(checkout), settings=SETTINGS)
    assert not Path("/var/tmp", f"dvc-{tmp_path.name}").exists()


def test_nothing_private_stays_behind(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    run(tmp_path / "out", str(checkout), settings=SETTINGS)
    assert list(scratch.iterdir()) == []


def test_a_corrupted_object_is_refused_and_the_older_data_set_stays(
    checkout: Path, tmp_path: Path
) -> None:
    run(tmp_path / "out", str(checkout), settings=SETTINGS)
    before = everything(tmp_path / "out")
    bad = objects(checkout)["test"]
    bad.write_bytes(bad.read_bytes().replace(b"eye", b"ear"))
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl") as caught:
        run(tmp_path / "out", str(checkout), settings=SETTINGS)
    assert f"files/md5/{bad.parent.name}/{bad.name}" in caught.value.remedy
    assert everything(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "out"]


def test_the_remedy_for_a_corrupted_object_works(workbench: Path, tmp_path: Path) -> None:
    bad, listing = objects(workbench)["test"], objects(workbench)["listing"]
    bad.write_bytes(b"x")
    with pytest.raises(DigestError):
        run(tmp_path / "out", str(workbench), settings=SETTINGS)
    bad.unlink()
    listing.unlink()
    with opened(workbench) as repo:
        repo.push()
    run(tmp_path / "out", str(workbench), settings=SETTINGS)


@pytest.mark.parametrize(
    "listing", ["[", "{}", '[{"md5": "x"}]', '[{"md5": "x", "relpath": "../../x"}]', ""]
)
def test_a_corrupted_listing_is_refused(checkout: Path, tmp_path: Path, listing: str) -> None:
    objects(checkout)["listing"].write_text(listing)
    with pytest.raises(DigestError, match="listing of data"):
        run(tmp_path / "out", str(checkout), settings=SETTINGS)


def test_a_missing_object_is_named(checkout: Path, tmp_path: Path) -> None:
    objects(checkout)["train"].unlink()
    with pytest.raises(MissingError, match=r"icd10/train\.jsonl") as caught:
        run(tmp_path / "out", str(checkout), settings=SETTINGS)
    assert "dvc push" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_missing_store_is_named_with_its_address(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "data-store")
    with pytest.raises(MissingError, match=r"'store' .*data-store"):
        run(tmp_path / "out", str(checkout), settings=SETTINGS)


def test_what_only_this_machine_has_is_not_used(workbench: Path, tmp_path: Path) -> None:
    shutil.rmtree(workbench / "data-store")
    with pytest.raises(MissingError, match="store"):
        run(tmp_path / "out", str(workbench), settings=SETTINGS)


def test_a_changed_working_copy_is_not_passed_over(workbench: Path) -> None:
    assert resolve(str(workbench)).revision
    file = workbench / "data" / "icd10" / "train.jsonl"
    file.write_bytes(file.read_bytes() + lines([row(99)]))
    with pytest.raises(ConflictError, match="differs from what DVC pins") as caught:
        resolve(str(workbench))
    assert "dvc add data" in caught.value.remedy


def test_a_change_between_resolving_and_running_is_a_conflict(
    workbench: Path, tmp_path: Path
) -> None:
    agreed = resolve(str(workbench)).checksum
    write(workbench / "data" / "icd10", splits(train=36))
    pin(workbench)
    with pytest.raises(ConflictError, match=agreed):
        run(tmp_path / "out", str(workbench), checksum=agreed, settings=SETTINGS)


def test_an_unknown_revision_is_named(checkout: Path) -> None:
    with pytest.raises(MissingError, match="v9"):
        resolve(str(checkout), "v9")


def test_an_unknown_output_is_named_with_those_there_are(checkout: Path) -> None:
    with pytest.raises(MissingError, match=r"'rows' is no DVC output.*data"):
        resolve(str(checkout), path="rows")
    with pytest.raises(MissingError, match="nothing"):
        resolve(str(checkout / "data-store" / ".."), "", "data/icd10/nothing")


def test_a_single_file_is_no_data_set(workbench: Path) -> None:
    (workbench / "one.jsonl").write_bytes(lines([row(0)]))
    with opened(workbench) as repo:
        repo.add([str(workbench / "one.jsonl")])
    with pytest.raises(FormatError, match="expected a folder"):
        resolve(str(workbench), path="one.jsonl")


def test_a_broken_pin_is_a_format_error(checkout: Path) -> None:
    (checkout / "data.dvc").write_text("outs: [")
    with pytest.raises(FormatError, match=r"data\.dvc"):
        resolve(str(checkout))


def test_an_address_is_read_through_a_private_clone_without_git(
    origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    head = porcelain.Repo(str(origin)).head().decode()
    for revision in ("", head):
        with open_store(f"file://{origin}", revision, "data") as store:
            assert store.resolve().revision == head
            train = next(file for file in store.files() if "train" in file.path)
            with store.open(train) as file:
                assert file.read() == lines(splits()["train"])


def test_an_address_that_cannot_be_cloned_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(MissingError, match="Cannot open"),
        open_store(f"file://{tmp_path}/gone", "", "data"),
    ):
        pass


def test_a_user_without_a_name_may_read(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod whose user id is in no list of users."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    run(tmp_path / "out", str(checkout), settings=SETTINGS)


def test_six_ingests_at_once_do_not_trip_over_each_other(checkout: Path, tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "wherry.ingest"),
                *("--dataset", str(tmp_path / f"out{number}")),
                *("--repo", str(checkout), "--settings", SETTINGS),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for number in range(6)
    ]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 6, told
    folders = {Manifest.verified(tmp_path / f"out{number}").digest for number in range(6)}
    assert len(folders) == 1


def test_the_command_tells_code_and_remedy_and_no_traceback(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "data-store")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "wherry.ingest", "--dataset", str(tmp_path / "out")),
            *("--repo", str(checkout), "--settings", SETTINGS),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 1
    assert "E_MISSING" in done.stderr
    assert "Traceback" not in done.stderr
