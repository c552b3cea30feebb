"""Which code runs: the version, the commit, and a digest for the cache."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import wherry
from wherry.contracts import Code


def code_of(folder: Path) -> Code:
    """Gives the version of Wherry and the git commit of a working folder, if it has one."""
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = bool(commit and _git(folder, "status", "--porcelain", "--untracked-files=no"))
    return Code(version=wherry.__version__, commit=commit, dirty=dirty)


def code_tag(pipeline: Path) -> str:
    """Gives an image tag that changes with every change of the code.

    KFP's cache key covers the image's name but not what is in it, so a local run, which has no
    image, puts the code's digest in the tag: a changed component is never answered from the cache.
    """
    package = Path(wherry.__file__).parent
    sums = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and _is_code(path.relative_to(package)):
            sums.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    if pipeline.is_file():  # if it is not, the run says so
        sums.update(pipeline.read_bytes())
    return f"{wherry.__version__}-{sums.hexdigest()[:12]}"


def _is_code(path: Path) -> bool:
    """Says whether a file decides what a stage does: templates, prompts and catalogues do too."""
    hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
    return not hidden and path.suffix not in (".md", ".pyc")


def _git(folder: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if not git:
        return ""
    done = subprocess.run(
        [git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
