"""Ingest on real DVC: a git repository with a store beside its data, as a clone has it."""

import contextlib
import os
import shutil
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dulwich import porcelain

from tests.fakes.rows import lines, row, splits, write
from tests.ingest import repositories
from tests.ingest.repositories import commit, contents, opened, pin, resolve, take
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    ExtraMissingError,
    FormatError,
    MissingError,
    UriError,
)

pytestmark = pytest.mark.local

ROWS = {f"icd10/{name}.jsonl": lines(rows) for name, rows in splits().items()}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository with one commit, its data pushed to ``data-store/`` in the repository."""
    root = repositories.init(tmp_path_factory.mktemp("origin"), "../data-store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        write(root / "data" / "icd10", splits())
        (root / "one.jsonl").write_bytes(lines([row(0, "one")]))
        pin(root, "data", "one.jsonl")
        commit(root)
    yield root


@pytest.fixture
def checkout(origin: Path, tmp_path: Path) -> Path:
    """What a plain clone has: no data, no cache, only the store that git keeps."""
    return repositories.clone(origin, tmp_path / "checkout")


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
    assert take(tmp_path / "out", checkout, checksum=source.checksum)[0] == source
    assert contents(tmp_path / "out") == ROWS


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
    assert take(tmp_path / "out", checkout)[0].revision == ""


def test_an_older_revision_gives_the_older_data(workbench: Path, tmp_path: Path) -> None:
    old = porcelain.Repo(str(workbench)).head().decode()
    write(workbench / "data" / "icd10", splits(train=33))
    pin(workbench)
    commit(workbench)
    take(tmp_path / "new", workbench)
    source, _ = take(tmp_path / "old", workbench, old)
    assert contents(tmp_path / "old") == ROWS
    assert contents(tmp_path / "new") != ROWS
    assert source.revision == old


@pytest.mark.parametrize("revision", ["", "HEAD"])
def test_nothing_is_written_into_the_checkout(
    checkout: Path, tmp_path: Path, revision: str
) -> None:
    """A pod may have it mounted for reading alone."""
    (checkout / ".dvc" / ".gitignore").unlink()
    before = everything(checkout), sorted(checkout.rglob("*"))
    take(tmp_path / "out", checkout, revision)
    assert (everything(checkout), sorted(checkout.rglob("*"))) == before


def test_dvcs_shared_cache_is_not_used(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in ``/var/tmp``, which a pod may not have and a second task may hold a lock in."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    monkeypatch.setattr("dvc.dirs.APPNAME", f"dvc-{tmp_path.name}")
    take(tmp_path / "out", checkout)
    assert not Path("/var/tmp", f"dvc-{tmp_path.name}").exists()


def test_nothing_private_stays_behind(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    take(tmp_path / "out", checkout)
    assert list(scratch.iterdir()) == []


def test_a_corrupted_object_is_refused_and_the_older_data_set_stays(
    checkout: Path, tmp_path: Path
) -> None:
    take(tmp_path / "out", checkout)
    before = everything(tmp_path / "out")
    bad = objects(checkout)["test"]
    bad.write_bytes(bad.read_bytes().replace(b"eye", b"ear"))
    with pytest.raises(DigestError, match=r"icd10/test\.jsonl") as caught:
        take(tmp_path / "out", checkout)
    assert f"files/md5/{bad.parent.name}/{bad.name}" in caught.value.remedy
    assert everything(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout", "out"]


def test_the_remedy_for_a_corrupted_object_works(workbench: Path, tmp_path: Path) -> None:
    bad, listing = objects(workbench)["test"], objects(workbench)["listing"]
    bad.write_bytes(b"x")
    with pytest.raises(DigestError):
        take(tmp_path / "out", workbench)
    bad.unlink()
    listing.unlink()
    with opened(workbench) as repo:
        repo.push()
    take(tmp_path / "out", workbench)


@pytest.mark.parametrize(
    "listing", ["[", "{}", '[{"md5": "x"}]', '[{"md5": "x", "relpath": "../../x"}]', ""]
)
def test_a_corrupted_listing_is_refused(checkout: Path, tmp_path: Path, listing: str) -> None:
    objects(checkout)["listing"].write_text(listing)
    with pytest.raises(DigestError, match="listing of data"):
        take(tmp_path / "out", checkout)


def test_a_missing_object_is_named(checkout: Path, tmp_path: Path) -> None:
    objects(checkout)["train"].unlink()
    with pytest.raises(MissingError, match=r"icd10/train\.jsonl") as caught:
        take(tmp_path / "out", checkout)
    assert "dvc push" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_missing_store_is_named_with_its_address(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / "data-store")
    with pytest.raises(MissingError, match=r"'store' .*data-store"):
        take(tmp_path / "out", checkout)


def test_what_only_this_machine_has_is_not_used(workbench: Path, tmp_path: Path) -> None:
    shutil.rmtree(workbench / "data-store")
    with pytest.raises(MissingError, match="store"):
        take(tmp_path / "out", workbench)


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
        take(tmp_path / "out", workbench, checksum=agreed)


def test_an_unknown_revision_is_named(checkout: Path) -> None:
    with pytest.raises(MissingError, match="v9"):
        resolve(str(checkout), "v9")


def test_an_unknown_output_is_named_with_those_there_are(checkout: Path) -> None:
    with pytest.raises(MissingError, match=r"'rows' is no DVC output.*data"):
        resolve(checkout, path="rows")
    with pytest.raises(MissingError, match="nothing"):
        resolve(str(checkout / "data-store" / ".."), "", "data/icd10/nothing")


@pytest.mark.parametrize("inside", ["icd10", "icd10/train.jsonl"])
def test_a_part_of_an_output_is_taken_by_what_pins_the_whole(
    checkout: Path, tmp_path: Path, inside: str
) -> None:
    """DVC believes the store's listing of a part, whoever wrote it."""
    there = objects(checkout)
    listing, text = there["listing"], there["listing"].read_text()
    train, other = (there[name].parent.name + there[name].name for name in ("train", "eval"))
    listing.write_text(text.replace(train, other))
    with pytest.raises(MissingError, match="lies in the DVC output 'data'") as caught:
        take(tmp_path / "out", checkout, path=f"data/{inside}")
    assert f"`path` to data and `folder` to {inside} in" in caught.value.remedy
    with pytest.raises(DigestError):
        take(tmp_path / "out", checkout, inside=inside)
    listing.write_text(text)
    assert take(tmp_path / "out", checkout, inside=inside)[1]


def test_an_output_is_found_wherever_the_run_stands(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout / "data-store")
    take(tmp_path / "out", "..", path="./data/")
    assert contents(tmp_path / "out") == ROWS


def test_the_store_that_an_output_names_itself_is_the_one_that_is_told(
    checkout: Path, tmp_path: Path
) -> None:
    config, pinned = checkout / ".dvc" / "config", checkout / "data.dvc"
    config.write_text(config.read_text() + "['remote \"archive\"']\n    url = ../gone\n")
    pinned.write_text(pinned.read_text().rstrip() + "\n  remote: archive\n")
    with pytest.raises(MissingError, match=r"The DVC store 'archive' .*gone"):
        take(tmp_path / "out", checkout)


def test_an_output_may_be_a_single_file(checkout: Path, tmp_path: Path) -> None:
    source, fetched = take(tmp_path / "out", checkout, path="one.jsonl")
    assert contents(tmp_path / "out") == {"one.jsonl": lines([row(0, "one")])}
    assert source.checksum.startswith("md5:")
    assert not source.checksum.endswith(".dir")
    assert [file.path for file in fetched] == ["one.jsonl"]


def test_a_single_file_that_is_corrupted_is_refused(checkout: Path, tmp_path: Path) -> None:
    md5 = resolve(checkout, path="one.jsonl").checksum.removeprefix("md5:")
    bad = checkout / "data-store" / "files" / "md5" / md5[:2] / md5[2:]
    bad.chmod(0o644)
    bad.write_bytes(bad.read_bytes().replace(b"eye", b"ear"))
    with pytest.raises(DigestError, match=r"one\.jsonl") as caught:
        take(tmp_path / "out", checkout, path="one.jsonl")
    assert caught.value.remedy.count(md5[2:]) == 1


def test_a_broken_pin_is_a_format_error(checkout: Path) -> None:
    (checkout / "data.dvc").write_text("outs: [")
    with pytest.raises(FormatError, match=r"data\.dvc"):
        resolve(str(checkout))


@pytest.mark.parametrize("form", ["file://", "file:// of a bare one", "bare folder"])
def test_an_address_is_read_through_a_private_clone(
    origin: Path, tmp_path: Path, form: str
) -> None:
    head = porcelain.Repo(str(origin)).head().decode()
    bare = tmp_path / "bare.git"
    porcelain.clone(str(origin), str(bare), bare=True, errstream=porcelain.NoneStream()).close()
    address = {"file://": f"file://{origin}", "bare folder": str(bare)}.get(form, f"file://{bare}")
    before = contents(bare)
    branch = porcelain.active_branch(str(origin)).decode()
    for revision in ("", head, branch):
        # Its store is named by a path relative to the repository, so the clone has it too.
        source = resolve(address, revision)
        assert source.revision == head
        assert source.uri == f"dvc:{address}"
    assert contents(bare) == before


@pytest.mark.parametrize("form", ["bare folder", "file://"])
def test_a_repositorys_name_may_hold_any_letter(origin: Path, tmp_path: Path, form: str) -> None:
    bare = tmp_path / "Ärzte & Daten" / "50%20 all.git"
    shutil.copytree(origin / ".git", bare)
    porcelain.branch_create(str(bare), "feature/x")
    place = str(bare) if form == "bare folder" else f"file://{bare}"
    assert resolve(place, "feature/x").revision == resolve(origin).revision


def test_a_clone_that_fails_says_why_and_not_where_it_would_have_been() -> None:
    with pytest.raises(MissingError, match="Connection refused") as caught:
        resolve("https://localhost:1/x")
    assert "wherry-dvc-" not in str(caught.value)


def test_no_git_program_is_needed(origin: Path, tmp_path: Path) -> None:
    code = """
import shutil, sys
from pathlib import Path
from tests.ingest.repositories import take
assert shutil.which("git") is None and shutil.which("dvc") is None
for number, repo in enumerate(sys.argv[2:]):
    print(take(Path(sys.argv[1], str(number)), repo)[0].checksum)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), f"file://{origin}", str(origin)],
        env=os.environ | {"PATH": "/nonexistent", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [resolve(origin).checksum] * 2


@pytest.mark.parametrize("address", ["file:///etc", "http://h/x", "ext::sh -c id"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(UriError):
        resolve(address)


def test_an_address_that_cannot_be_cloned_is_named_without_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = uuid.uuid4().hex
    with pytest.raises(MissingError, match="Cannot open https://localhost:1/x") as caught:
        resolve(f"https://me:{token}@localhost:1/x")
    assert token not in "".join(traceback.format_exception(caught.value))


def test_data_that_another_repository_keeps_is_refused_with_the_way_to_it(
    origin: Path, tmp_path: Path
) -> None:
    """What ``dvc import`` pins has no listing and no hashes in our own store."""
    ours = repositories.init(tmp_path / "ours", "../store")
    with contextlib.chdir(ours), opened(ours) as repo:
        repo.imp(str(origin), "data", out="data")
    shutil.rmtree(ours / "data")
    shutil.rmtree(ours / ".dvc" / "cache", ignore_errors=True)
    with pytest.raises(FormatError, match="imported") as caught:
        take(tmp_path / "out", ours)
    assert "repository that it was imported from" in caught.value.remedy


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gs")])
def test_a_store_whose_client_is_not_installed_is_told_with_the_pip_line(
    checkout: Path, scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = checkout / ".dvc" / "config"
    config.write_text(config.read_text().replace("../data-store", f"{scheme}://bucket/x"))
    monkeypatch.setitem(sys.modules, f"dvc_{scheme}", None)
    with pytest.raises(ExtraMissingError) as caught:
        resolve(checkout)
    assert caught.value.remedy == f'Run: pip install "wherry[{extra}]"'


def test_a_user_without_a_name_may_read(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod whose user id is in no list of users."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    _, files = take(tmp_path / "out", checkout)
    assert sorted(contents(tmp_path / "out")) == [file.path for file in files] != []
