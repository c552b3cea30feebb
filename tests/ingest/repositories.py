"""Git repositories with data in DVC, and taking data out of them."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

from dulwich import porcelain

from wherry.contracts import Source
from wherry.contracts.files import staged_folder
from wherry.ingest.adapters.open import open_store
from wherry.ingest.patience import Patience
from wherry.ingest.step import Fetched, materialise
from wherry.progress import Silent

ME = b"A <a@example.org>"


def init(root: Path, url: str, **options: str) -> Path:
    """A repository whose default remote is ``store`` at `url`."""
    porcelain.init(str(root))
    (root / ".dvc").mkdir()
    rows = {"url": url, **options}
    remote = "".join(f"    {name} = {value}\n" for name, value in rows.items())
    (root / ".dvc" / "config").write_text(
        f"[core]\n    remote = store\n    autostage = false\n['remote \"store\"']\n{remote}"
    )
    (root / ".gitignore").write_text("/data\n/one.jsonl\n")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    return root


def opened(root: Path) -> Any:
    """DVC's own repository object."""
    from dvc.repo import Repo  # a second: not while collecting

    return Repo(str(root))


def pin(root: Path, *names: str) -> None:
    """What ``dvc add NAME && dvc push`` does."""
    with opened(root) as repo:
        repo.add([str(root / name) for name in names or ("data",)])
        repo.push()


def commit(root: Path) -> str:
    """Commits all that git does not ignore."""
    with contextlib.chdir(root):
        porcelain.add(str(root))
    return str(porcelain.commit(str(root), message=b"x", author=ME, committer=ME), "ascii")


def clone(root: Path, copy: Path) -> Path:
    """What a plain clone has: no data and no cache."""
    ignored = shutil.ignore_patterns("data", "cache", "tmp", "one.jsonl")
    shutil.copytree(root, copy, ignore=ignored)
    return copy


def resolve(repo: str | Path, revision: str = "", path: str = "data") -> Source:
    """The exact version that would be taken."""
    with open_store(str(repo), revision, path) as store:
        return store.resolve()


def take(
    out: Path,
    repo: str | Path,
    revision: str = "",
    *,
    path: str = "data",
    inside: str = "",
    checksum: str = "",
) -> tuple[Source, tuple[Fetched, ...]]:
    """Takes a version of data into a folder that appears whole or not at all."""
    with open_store(str(repo), revision, path) as store, staged_folder(out) as folder:
        return materialise(store, folder, inside, checksum, Silent(), Patience(first=0.01))


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
