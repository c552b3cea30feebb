"""Opens a git repository at one version with DVC: privately, without locks or a git program."""

import getpass
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from dvc.api import DVCFileSystem
from dvc.repo import Repo
from dvc.scm import Git
from scmrepo.exceptions import CloneError

from wherry.contracts.errors import FileAccessError, MissingError, WherryError
from wherry.ingest.addresses import is_bare, redacted, repository
from wherry.ingest.faults import causes, is_denied, shown
from wherry.ingest.logins import NETRC_REMEDY, login_for, with_login
from wherry.ingest.patience import Patience


@contextmanager
def opened(repo: str, revision: str) -> Iterator[tuple[DVCFileSystem, str]]:
    """Opens a repository for as long as the block lasts.

    A local checkout is read in place, an address or a bare repository through a private clone.
    Everything that DVC keeps lies in a folder of its own, so that tasks side by side never meet
    on a lock.

    Args:
        repo: a folder inside a checkout, a bare repository, or the address of a git repository.
        revision: a branch, tag or commit; empty for the working tree, or for the default branch
            of an address.

    Returns:
        DVC's own file system, and the commit; empty for the working tree.

    Raises:
        UriError: on an address of another scheme.
        MissingError: if there is no such repository or revision.
        FileAccessError: if this user may not read it.
    """
    place = repository(repo)
    if is_bare(Path(place)):
        place = f"file://{Path(place).resolve()}"  # not as_uri(): git's library decodes nothing
    with _private_folder() as private, closing(_opened(place, revision, private)) as fs:
        yield fs, fs.repo.get_rev() if revision or not Path(place).is_dir() else ""


def _opened(repo: str, revision: str, private: Path) -> DVCFileSystem:
    config = {"cache": {"dir": str(private / "cache")}}
    try:
        if Path(repo).is_dir():
            return at_version(repo, revision, config)
        return at_version(_patiently_cloned(repo, revision, private), "", config)
    except (OSError, WherryError):
        raise  # a full disk, a refused connection: the system's own words are the better ones
    except Exception as error:  # git, dulwich and DVC each have their own
        raise _not_opened(f"{redacted(repo)}{at(revision)}", error) from shown(error)


def at_version(folder: str, revision: str, config: Mapping[str, Any]) -> DVCFileSystem:
    """Opens a checkout at a revision, or as it is."""
    fs = DVCFileSystem(folder, rev=revision or None, config=config)
    _add_logins(fs.repo.config["remote"])
    return fs


def _add_logins(remotes: Mapping[str, dict[str, Any]]) -> None:
    """Gives HTTP stores that ask for a login that of their host; a person is never asked."""
    for remote in remotes.values():
        asked = remote.pop("ask_password", None)
        parts = urlsplit(str(remote.get("url", "")))
        if remote.get("auth") == "custom" and asked and parts.hostname is not None:
            # A header of the team's own: its value is the password of netrc.
            remote["password"] = (login_for(parts.hostname) or ("", ""))[1]
            continue
        if remote.get("auth") != "basic" or remote.get("password") or parts.hostname is None:
            continue
        if found := login_for(parts.hostname):
            remote["user"], remote["password"] = found


def _not_opened(what: str, error: Exception) -> WherryError:
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes(error)):
        return FileAccessError(
            f"Cannot open {what}: nobody vouches for the server's certificate.",
            remedy="Name the authority's certificate by SSL_CERT_FILE, as a PEM file.",
        )
    if is_denied(error):
        return FileAccessError(
            f"Cannot open {what}: this user may not read it.",
            remedy=NETRC_REMEDY,
        )
    return MissingError(
        f"Cannot open {what}: {_reason(error)}.",
        remedy="Check that the repository and the revision exist and that you may read them.",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, CloneError):  # it names our private folder, and not what went wrong
        error = cast(Exception, error.__cause__ or error)
    if isinstance(error, KeyError):
        return f".dvc/config says nothing of the remote {error}, which it has for its default"
    return redacted(str(error)).strip().rstrip(".") or type(error).__name__


def _patiently_cloned(address: str, revision: str, private: Path) -> str:
    return Patience()(
        lambda: _cloned(address, revision, Path(tempfile.mkdtemp(dir=private)) / "clone")
    )


def _cloned(address: str, revision: str, folder: Path) -> str:
    git = Git.clone(with_login(address), str(folder))
    try:
        if revision:
            git.checkout(git.resolve_rev(revision))
    finally:
        git.close()
    return str(folder)


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Gives a folder that all of DVC's own state goes to, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="wherry-dvc-", ignore_cleanup_errors=True) as name:
        # By the environment: DVC opens a checkout twice, the first time without our configuration.
        ours = {"DVC_SITE_CACHE_DIR": f"{name}/site", "DVC_NO_ANALYTICS": "1", "LOGNAME": _user()}
        before = {variable: os.environ.get(variable) for variable in ours}
        os.environ.update(ours)
        try:
            with _nothing_written_into_checkouts(f"{name}/locks"):
                yield Path(name)
        finally:
            for variable, value in before.items():
                os.environ.pop(variable)
                os.environ.update({variable: value} if value is not None else {})


@contextmanager
def _nothing_written_into_checkouts(scratch: str) -> Iterator[None]:
    """Has DVC keep its locks elsewhere: a pod's checkout may be mounted for reading alone."""
    # DVC has no setting for it: Repo.__init__ makes `.dvc/tmp` and has git ignore it, see
    # https://github.com/treeverse/dvc/blob/3.67.1/dvc/repo/__init__.py
    ours = {"tmp_dir": property(lambda _: scratch), "_ignore": lambda _: None}
    before = {name: vars(Repo)[name] for name in ours if name in vars(Repo)}
    try:
        for name in before:
            setattr(Repo, name, ours[name])
        yield
    finally:
        for name, value in before.items():
            setattr(Repo, name, value)


def _user() -> str:
    # DVC asks for the user's name, which a pod with an arbitrary user id does not have.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "wherry"


def at(revision: str) -> str:
    """Gives the words that name a revision in a message; none for the working tree."""
    return f" at {revision}" if revision else ""
