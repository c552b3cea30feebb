"""People and services with keys of their own, and the keyring that trusts them."""

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from wherry.signing import KeyFolder, Keyring, Signer

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
GATE = "gate"
PEOPLE = ("ana", "bo", "cy", "bob", "ann", "ci-runner")


@cache
def signer_of(owner: str) -> Signer:
    """The key of one of them; the same whenever it is asked for."""
    with tempfile.TemporaryDirectory() as place:
        folder = KeyFolder(Path(place) / "keys")
        folder.init(owner, LONG_AGO)
        return folder.signer()


def keyring(*owners: str) -> Keyring:
    """Trusts these, or all; the gate always."""
    return Keyring(keys=tuple(signer_of(one).key for one in (GATE, *(owners or PEOPLE))))
