"""Keeps another registry in step with the store, which stays the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from wherry.contracts import Digest, Release, Scores
from wherry.ledger import Ledger


@dataclass(frozen=True)
class Mirrored:
    """What a registry holds of one model that came from here."""

    versions: Mapping[int, Digest] = field(default_factory=dict)
    """The store's version number → the file's digest, as noted there."""
    aliases: Mapping[str, int] = field(default_factory=dict)
    """Alias → the store's version number that it points at; 0 for a version not from here."""


class Mirror(Protocol):
    """Another registry; one adapter each. What it may keep of its own is not touched."""

    @property
    def kind(self) -> str:
        """Such as ``mlflow``."""

    def seen(self, name: str) -> Mirrored:
        """Gives what it holds of a model; nothing if it does not know the name.

        Raises:
            MirrorError: if it does not answer.
        """

    def add(self, release: Release, scores: Scores) -> None:
        """Adds a version with its digest, its address, its lineage and its headline scores."""

    def point(self, name: str, alias: str, version: int) -> None:
        """Points an alias at a version that it holds."""


@dataclass(frozen=True)
class Difference:
    """One thing that the registry has otherwise than the store."""

    what: Literal["version", "alias"]
    key: str
    """The version's number or the alias."""
    store: str
    """The digest or the version number; empty if the store has no such thing."""
    mirror: str
    """The same there."""
    mended: bool = False


def differences(ledger: Ledger, mirror: Mirror, name: str) -> tuple[Difference, ...]:
    """Compares one model; in the order in which differences can be mended.

    Raises:
        MirrorError: if the registry does not answer.
    """
    return tuple(_differences(ledger, mirror.seen(name), name))


def reconcile(ledger: Ledger, mirror: Mirror, name: str) -> tuple[Difference, ...]:
    """Adds what the registry lacks and moves its aliases; nothing there is deleted.

    A version that it has with another digest is left as it is, for somebody changed it: it is
    told, and not mended.

    Raises:
        MirrorError: if the registry does not answer; the same call goes on where it ended.
    """
    return tuple(
        replace(one, mended=_mended(ledger, mirror, name, one))
        for one in differences(ledger, mirror, name)
    )


def _differences(ledger: Ledger, there: Mirrored, name: str) -> Iterator[Difference]:
    here = {release.version: release for release in ledger.releases(name)}
    for version in sorted({*here, *there.versions}):
        one, two = here[version].digest if version in here else "", there.versions.get(version, "")
        # What gave its file up is of no use to a registry that never had it.
        if one != two and (two or not here[version].expired):
            yield Difference("version", str(version), one, two)
    aliases = {alias: release.version for release in here.values() for alias in release.aliases}
    for alias in sorted({*aliases, *there.aliases}):
        ours, theirs = aliases.get(alias, 0), there.aliases.get(alias)
        # An alias that the store never had is the registry's own.
        if alias in aliases and ours != theirs:
            yield Difference("alias", alias, str(ours), "" if theirs is None else str(theirs))


def _mended(ledger: Ledger, mirror: Mirror, name: str, found: Difference) -> bool:
    if found.what == "alias":
        mirror.point(name, found.key, int(found.store))
        return True
    if found.mirror:
        return False
    version = int(found.key)
    mirror.add(ledger.find(name, version), ledger.scores_of(name, version))
    return True
