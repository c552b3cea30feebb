"""Decides by a policy which versions need no longer keep their files, and gives those up."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from wherry.contracts import Deployment, Digest, Release, digest_bytes
from wherry.contracts.errors import SettingsError
from wherry.ledger import Ledger, canonical
from wherry.ledger.policies import read_policy
from wherry.release.moves import rollback_targets

RETENTION_VARIABLE: Final = "WHERRY_RETENTION"
RETENTION_NAME: Final = "retention.yaml"


@dataclass(frozen=True)
class Keep:
    """How much of a model's past keeps its files: what either of the two says."""

    versions: int
    """The newest ones that may still go live, 1 at least."""
    days: int
    """Since its registration every version keeps its file for so long, whatever its state."""

    def __post_init__(self) -> None:
        """Checks that the newest version stays.

        Raises:
            ValueError: naming the value.
        """
        if self.versions < 1 or self.days < 0:
            raise ValueError(
                "versions must be 1 at least and days 0 at least, "
                f"got {self.versions} and {self.days}"
            )


@dataclass(frozen=True)
class Retention:
    """What keeps its file; records and audit rows are kept for ever, whatever it says."""

    keep: Keep
    models: dict[str, Keep] = field(default_factory=dict)
    """Instead of `keep`, for a model by its name."""
    hold: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Versions that stay until they are taken out of here, by the model's name: a legal hold."""

    @property
    def digest(self) -> Digest:
        """What the audit calls it by: of its content, whatever the file's layout."""
        return digest_bytes(canonical(asdict(self)))


@dataclass(frozen=True)
class Fate:
    """What a policy makes of one version that still has its file."""

    release: Release
    given_up: bool
    why: str


def read_retention(state: Path) -> Retention | None:
    """Reads the policy: what ``WHERRY_RETENTION`` names, or ``retention.yaml`` of the workspace.

    Example of such a file::

        keep: {versions: 5, days: 90}
        models:
          icd10-triage: {versions: 10, days: 3650}
        hold:
          icd10-triage: [3, 7]

    Returns:
        None without such a file: every version keeps its own then.

    Raises:
        SettingsError: if the named file is not there, or is no such policy.
    """
    return read_policy(Retention, state, RETENTION_VARIABLE, RETENTION_NAME)


def judge(ledger: Ledger, policy: Retention) -> tuple[Fate, ...]:
    """Says of each version that still has its file whether it keeps it, and why.

    Raises:
        SettingsError: if the policy names a model that there is not, or holds a version that there
            is not or that gave its file up before.
    """
    releases = ledger.releases()
    _check_known(releases, policy)
    names = sorted({one.name for one in releases})
    return tuple(fate for name in names for fate in _fates(ledger, name, policy))


def apply(ledger: Ledger, policy: Retention) -> tuple[Fate, ...]:
    """Gives up what the policy no longer keeps, in one change; doing it again changes nothing.

    Raises:
        SettingsError: as `judge`.
        RoleError: if the roles policy does not let this actor retire a version.
    """
    fates: list[Fate] = []

    def decide() -> Iterator[tuple[Release, str]]:
        fates.extend(judge(ledger, policy))
        return ((one.release, f"retention: {one.why}") for one in fates if one.given_up)

    ledger.expire(decide, policy.digest)
    return tuple(fates)


def _fates(ledger: Ledger, name: str, policy: Retention) -> Iterator[Fate]:
    rule = policy.models.get(name, policy.keep)
    releases = [one for one in ledger.releases(name) if not one.expired]
    newest = [one.version for one in releases if one.state == "registered"][-rule.versions :]
    now = datetime.fromisoformat(ledger.now())
    needed = _needed(ledger, name, policy)
    for release in releases:
        age = now - datetime.fromisoformat(release.created)
        old = f"registered {age.days} days ago, {rule.days} are kept"
        if why := needed.get(release.version):
            yield Fate(release, False, why)
        elif release.version in newest:
            yield Fate(release, False, f"one of the newest {rule.versions}")
        else:
            given_up = age >= timedelta(days=rule.days)
            extra = f", not one of the newest {rule.versions}, needed by nothing"
            yield Fate(release, given_up, old + extra if given_up else old)


def _needed(ledger: Ledger, name: str, policy: Retention) -> dict[int, str]:
    """Gives the versions that no policy gives up, each with what needs it."""
    found = dict.fromkeys(policy.hold.get(name, ()), "held by the policy")
    for one in _serving(ledger.deployments(name)):
        found[one.version] = f"it serves, on {one.target}"
    if target := next(rollback_targets(ledger, name), None):
        found[target.version] = "a rollback would choose it"
    for release in ledger.releases(name):
        if release.aliases:
            found[release.version] = f"it is {', '.join(release.aliases)}"
    return found


def _serving(deployments: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
    """Gives what was last deployed on each target: a champion's server may lag behind it."""
    return tuple({one.target: one for one in deployments}.values())


def _check_known(releases: tuple[Release, ...], policy: Retention) -> None:
    """Refuses a name that nothing has, and a hold that comes too late: they would keep nothing."""
    known = {(one.name, one.version) for one in releases if not one.expired}
    names = {one.name for one in releases}
    unknown = [name for name in (*policy.models, *policy.hold) if name not in names]
    held = [(name, one) for name, versions in policy.hold.items() for one in versions]
    unknown += [f"{name}:{one}" for name, one in held if (name, one) not in known]
    if unknown:
        raise SettingsError(
            f"the retention policy names {unknown[0]!r}, and there is no such file to keep.",
            remedy="Correct it: `wherry models` lists what there is, and what was given up.",
        )
