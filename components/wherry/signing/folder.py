"""Keeps private keys and the keyring in a folder, with file modes that keep them private."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from wherry.contracts import digest_bytes
from wherry.contracts.errors import ConflictError, SigningKeyError
from wherry.contracts.files import sync_folder, write_atomic
from wherry.contracts.record import Record
from wherry.signing.envelope import Signer
from wherry.signing.keyring import Keyring, TrustedKey, Upheld, text_of
from wherry.signing.stamp import open_stamp
from wherry.workspace import state

KEYS_VARIABLE: Final = "WHERRY_KEYS"
"""Names the folder of keys; unset for ``keys`` in the state's folder."""
KEYRING_NAME: Final = "keyring.json"
_FILE: Final = "file:"


def keys_folder() -> Path:
    """Gives the folder of keys: ``WHERRY_KEYS`` if set, else ``.wherry/keys``."""
    return Path(os.environ.get(KEYS_VARIABLE) or state() / "keys").absolute()


def load_keyring(folder: Path | None = None) -> Keyring:
    """Gives the keys that are trusted here.

    Args:
        folder: of the keys; None for `keys_folder`.

    Raises:
        SigningKeyError: if there is no keyring, or others may write it.
    """
    return KeyFolder(folder or keys_folder()).keyring()


def load_signer(folder: Path | None = None, key: str = "") -> Signer:
    """Gives what signs here.

    Args:
        folder: of the keys; None for `keys_folder`.
        key: the beginning of a key's id; empty for the current one.

    Raises:
        SigningKeyError: if there is no key, it was revoked, or others may read it.
        ExtraMissingError: if its service's client is not installed.
    """
    return KeyFolder(folder or keys_folder()).signer(key)


def _last_owner(ring: Keyring) -> str:
    """Gives whose key signed here last; a key that is only trusted here says nothing of that."""
    owners = [key.owner for key in ring.keys if key.uri]
    if not owners:
        raise SigningKeyError(
            "No key ever signed here, so nobody knows whose the new one is.",
            remedy="Run `wherry keys rotate --owner NAME`.",
        )
    return owners[-1]


class KeyFolder:
    """A folder of keys: ``keyring.json`` for all to read, ``ID.pem`` for the owner alone.

    Changes are safe beside each other and under kills: the private key is on disk before the
    keyring names it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def path(self) -> Path:
        """The keyring's file."""
        return self.folder / KEYRING_NAME

    def exists(self) -> bool:
        """Says whether there is a keyring."""
        return self.path.is_file()

    def keyring(self) -> Keyring:
        """Reads the keyring; as `load_keyring`."""
        if not self.exists():
            raise SigningKeyError(
                f"There is no key in {self.folder}.",
                remedy="Run `wherry keys init` there, or name the folder of keys in WHERRY_KEYS.",
            )
        if self.path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SigningKeyError(
                f"{self.path} can be written by others than its owner.",
                remedy=f"Check what stands in it, then run: chmod 644 {self.path}",
            )
        return Keyring.read(self.path)

    def signer(self, key: str = "") -> Signer:
        """Loads the key that signs; as `load_signer`."""
        from wherry.signing.schemes import from_file, from_service

        ring = self.keyring()
        wanted = ring.named(key) if key else ring.signing()
        if wanted.state != "active" or not wanted.uri:
            why = "has no private half here" if wanted.state == "active" else f"was {wanted.state}"
            raise SigningKeyError(
                f"The key {wanted.short} {why}.", remedy="Sign with another: `wherry keys list`."
            )
        if not wanted.uri.startswith(_FILE):
            return from_service(wanted)
        return from_file(wanted, self._private(wanted))

    def init(
        self, owner: str, now: datetime, *, uri: str = "", may: tuple[str, ...] = ()
    ) -> TrustedKey:
        """Makes the first key, or takes one of a key management service.

        Args:
            owner: the person or service that signs with it.
            now: when it becomes valid.
            uri: such as ``awskms:alias/wherry``; empty to make an Ed25519 key here.
            may: payload types that it may sign; empty for all.

        Raises:
            ConflictError: if a key signs here already.
            SigningKeyError: if the service does not know the key, or does not sign with it.
        """
        with self._alone():
            ring = self.keyring() if self.exists() else Keyring()
            if ring.current:
                raise ConflictError(
                    f"The key {ring.signing().short} signs here already.",
                    remedy="Run `wherry keys rotate` for another one.",
                )
            return self._take_over(ring, owner, now, uri, may)

    def ensure(self, owner: str, now: datetime) -> TrustedKey | None:
        """Makes the first key if there is no keyring at all; gives it, or None if there was one."""
        if self.exists():
            return None
        with self._alone():
            return None if self.exists() else self._take_over(Keyring(), owner, now, "", ())

    def rotate(self, now: datetime, *, owner: str = "", uri: str = "") -> TrustedKey:
        """Makes another key sign from now on; what the one before signed stays good.

        The private half of the one before is removed from here.

        Args:
            now: when it becomes valid.
            owner: who signs with it; empty for the owner of the one before.
            uri: as for `init`.

        Raises:
            SigningKeyError: as `init`; the key before signs on then.
        """
        with self._alone():
            ring = self.keyring()
            before = ring.find(ring.current)
            may = before.may if before else ()
            owner = owner or (before.owner if before else _last_owner(ring))
            made = self._take_over(ring, owner, now, uri, may)
            self._forget_unused(self.keyring())
            return made

    def revoke(self, key: str, reason: str, now: datetime) -> TrustedKey:
        """Makes all that a key signed worthless, and removes its private half from here.

        Args:
            key: the beginning of its id.
            reason: why; it is kept.
            now: from when on. What is known to have been signed before can still be verified.
        """
        with self._alone():
            ring = self.keyring()
            whole = ring.named(key).id
            ring = ring.revoked(whole, reason, now)
            self._write(ring)
            self._forget_unused(ring)
            return ring.named(whole)

    def uphold(
        self,
        record: Record,
        payload_type: str,
        what: str,
        reason: str,
        now: datetime,
        *,
        came: datetime,
    ) -> TrustedKey:
        """Lets one record that a revoked key signed be good all the same; gives that key.

        Args:
            record: with its own signed statement, such as a blessing.
            payload_type: what it is.
            what: the same for people.
            reason: how it is known to be no thief's; it is kept.
            now: when that is said.
            came: when it was there already, by what its signer could not write.

        Raises:
            SignatureError: if it is unsigned or was changed.
            SigningKeyError: if no key of this keyring signed it, or one that is not revoked, or it
                came in after the revocation.
        """
        with self._alone():
            ring = self.keyring()
            found = open_stamp(record, payload_type, ring.before_revocations())
            said = Upheld(digest_bytes(found.payload), what, reason.strip(), text_of(now))
            ring = ring.upholding(found.key.id, said, came)
            self._write(ring)
            return ring.named(found.key.id)

    def trust(self, key: TrustedKey) -> TrustedKey:
        """Adds a public key that was made elsewhere; it signs nothing here."""
        # What is upheld once it is revoked, is said here, and not by whom it comes from.
        public = replace(key, uri="", upheld=())
        with self._alone():
            self._write((self.keyring() if self.exists() else Keyring()).added(public))
        return public

    def _take_over(
        self, ring: Keyring, owner: str, now: datetime, uri: str, may: tuple[str, ...]
    ) -> TrustedKey:
        from wherry.signing.schemes import generate, prove, public_of_service

        if uri:
            public = public_of_service(uri)
        else:
            public, private = generate()
            self._keep(public.keyid, private)
        key = TrustedKey(
            id=public.keyid,
            type=public.keytype,
            scheme=public.scheme,
            public=public.keyval["public"],
            owner=owner,
            valid_from=text_of(now),
            uri=uri or f"{_FILE}{public.keyid}.pem",
            may=may,
        )
        if uri:
            prove(key)  # before the key that signed until now is retired, and its half destroyed
        self._write(ring.taken_over(key))
        return key

    def _keep(self, id: str, pem: bytes) -> None:
        # A project that keeps its keyring in git must not keep private keys there.
        write_atomic(self.folder / ".gitignore", b"*.pem\n")
        # Created private: a file that is made first and closed later was open for a moment.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        handle = os.open(self.folder / f"{id}.pem", flags, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.folder)

    def _forget_unused(self, ring: Keyring) -> None:
        """Removes the private halves that sign no more, those of a kill too: none can be stolen."""
        active = {key.id for key in ring.keys if key.state == "active"}
        for path in self.folder.glob("*.pem"):
            if path.stem not in active:
                path.unlink(missing_ok=True)

    def _private(self, key: TrustedKey) -> bytes:
        path = self.folder / key.uri.removeprefix(_FILE)
        if path.parent != self.folder or not path.is_file():
            raise SigningKeyError(
                f"The private half of the key {key.short} is not at {path}.",
                remedy="Restore the file, or run `wherry keys rotate`.",
            )
        if _open_to_others(path.stat()):
            raise SigningKeyError(
                f"{path} can be read by others than its owner.",
                remedy=f"Run: chmod 600 {path}. If somebody may have read it, revoke the key.",
            )
        return path.read_bytes()

    def _write(self, ring: Keyring) -> None:
        ring.write(self.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the folder's lock; the operating system drops it however the process ends."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _open_to_others(found: os.stat_result) -> bool:
    """Says whether a private key's file is too open, by the rule of ssh.

    A file of somebody else that this process may read by its group is how Kubernetes mounts a
    secret into a pod that does not run as root (defaultMode 0440 with fsGroup).
    """
    if found.st_mode & stat.S_IRWXO:
        return True
    return found.st_uid == os.getuid() and bool(found.st_mode & stat.S_IRWXG)
