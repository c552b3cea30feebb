"""Wires the deployment: a release in, an address that answers out."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from wherry.contracts import (
    ArtifactRef,
    Dataset,
    Deployment,
    Manifest,
    Release,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ConflictError, WherryError
from wherry.deploy.adapters.http import HttpEndpoint
from wherry.deploy.adapters.local.servers import Servers, checked
from wherry.deploy.adapters.local.target import LocalTarget
from wherry.deploy.blessed import check_blessed
from wherry.deploy.settings import DeploySettings
from wherry.deploy.step import Plan, deploy, pick
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.artifacts import Artifacts
from wherry.ledger.stages import recorded
from wherry.progress import Report, stage
from wherry.workspace import state

_FOLDER = "deployments"
_PROBE_SECONDS = 5.0
"""How long a server may take to say whether it is ready."""


@recorded("deploy", inputs=("release", "dataset"), outputs=("deployment",))
def run(
    release: Path,
    dataset: Path,
    deployment: Path,
    settings: str = "",
    generation: int = 0,
    blessing: Path | None = None,
) -> str:
    """Brings a release to a running endpoint; the old one serves until the new one is proved.

    Args:
        release: the `Release` to run.
        dataset: the data set's folder; its test split asks the smoke test's questions.
        deployment: where to write the `Deployment`.
        settings: a `DeploySettings` as JSON.
        generation: of the alias that it is deployed for; 0 to take the champion's from the
            ledger and to record the deployment there.
        blessing: the `Blessing` of this file; without it the ledger's.

    Returns:
        The endpoint's address.
    """
    with stage("deploy") as report:
        chosen = read_settings(DeploySettings, settings)
        wanted = Release.read(release)
        _check_role()
        with _given_back(wanted, recorded=not generation):
            check_blessed(wanted, blessing)
        Manifest.verified(dataset)
        rows = Dataset.read(dataset / DATASET_NAME).rows(dataset, "test")
        plan = Plan(chosen, tuple(pick(rows, chosen.smoke_rows)))
        live = _deployed(wanted, generation, plan, report)
        live.write(deployment)
        report.verdict(f"{live.name} v{live.version} at {live.url}, {live.checks[-1]}")
    return live.url


def follow(name: str) -> Deployment | None:
    """Brings what is served here to where the champion points now, as it was deployed last.

    It needs nothing but the store and the file: the settings and the questions of the smoke test
    were kept.

    Args:
        name: the model's name.

    Returns:
        What is live now; None if nothing of this model was ever deployed here.
    """
    kept = _plan(name)
    if not kept.is_file():
        return None
    with Ledger.open(state()) as ledger:
        wanted = ledger.release_at_alias(name, CHAMPION)
    if wanted is None:
        return None
    _check_role()
    with stage("deploy") as report:
        with _given_back(wanted, recorded=True):
            check_blessed(wanted, None)
        live = _deployed(wanted, 0, Plan.read(kept), report)
        report.verdict(f"{live.name} v{live.version} at {live.url}, {live.checks[-1]}")
    return live


def _check_role() -> None:
    """Refuses who may not deploy before any server is touched."""
    with Ledger.open(state()) as ledger:
        ledger.check_role("deploy")


def _deployed(wanted: Release, generation: int, plan: Plan, report: Report) -> Deployment:
    settings = plan.settings
    name = settings.name or wanted.name

    def connect(url: str) -> HttpEndpoint:
        return HttpEndpoint(
            url, name, tokens=settings.smoke_tokens, timeout=settings.request_timeout
        )

    servers = _servers(wanted.name)
    with _given_back(wanted, recorded=not generation), servers.alone():
        live = deploy(
            wanted,
            generation or _generation(wanted),
            plan,
            LocalTarget(servers, _verified_file(wanted), settings, connect),
            connect,
            report,
        )
        plan.write(_plan(wanted.name))
    if not generation:
        with Ledger.open(state()) as ledger:
            ledger.record_deployment(replace(live, example=""))
    return live


@contextmanager
def _given_back(wanted: Release, *, recorded: bool) -> Iterator[None]:
    """Points the champion back at the version that serves, if the new one is not fit to.

    Without it the store would name as champion what no client was ever answered by.
    """
    try:
        yield
    except ConflictError:
        raise  # another process deploys, or deployed something newer: what it does, it records
    except WherryError as error:
        live = status(wanted.name)
        if recorded and live and live.healthy and live.version != wanted.version:
            reason = f"version {wanted.version} did not deploy: {error.message}"
            # Why it did not deploy is what matters; a champion left behind `status` shows.
            with suppress(WherryError):
                _roll_back(wanted, live, reason)
        raise


def _roll_back(wanted: Release, live: Deployment, reason: str) -> None:
    with Ledger.open(state()) as ledger:
        alias = ledger.alias(wanted.name, CHAMPION)
        if alias and alias.version == wanted.version:
            ledger.switch(
                CHAMPION,
                wanted.name,
                live.version,
                expected_generation=alias.generation,
                reason=reason[:500],
                action="rollback",
            )


def _generation(wanted: Release) -> int:
    """Gives the generation at which the store points its champion at this release.

    Raises:
        ConflictError: if the champion is another version by now.
    """
    with Ledger.open(state()) as ledger:
        alias = ledger.alias(wanted.name, CHAMPION)
    if alias is None or alias.version != wanted.version:
        now = f"version {alias.version}" if alias else "no version"
        raise ConflictError(
            f"The champion of {wanted.name} is {now}, not version {wanted.version}.",
            remedy="Promote the version first, or name the generation to deploy for.",
        )
    return alias.generation


def status(name: str) -> Deployment | None:
    """Gives what this workspace deployed under a name, with its health now, or None."""
    return checked(_servers(name), _probe)


def check_port(name: str, settings: DeploySettings) -> None:
    """Looks before the work whether a deploy at its end would find its port free.

    Raises:
        PortError: if it is somebody else's.
        SettingsError: if the host is no address of this machine.
    """
    LocalTarget(_servers(name), Path(), settings, _probe).check_port()


def deployed() -> list[str]:
    """Gives the names of all that was ever deployed in this workspace, running or not."""
    return sorted(path.stem for path in (state() / _FOLDER).glob("*.log"))


def stop(name: str) -> bool:
    """Stops the local server of a deployment and forgets it; tells whether one ran.

    Raises:
        ConflictError: if it is being deployed right now.
    """
    servers = _servers(name)
    with servers.alone():
        return servers.stop()


def _plan(name: str) -> Path:
    return _servers(name).folder / f"{name}.plan.json"


def _servers(name: str) -> Servers:
    return Servers(name, state() / _FOLDER)


def _probe(url: str) -> HttpEndpoint:
    return HttpEndpoint(url, "", tokens=1, timeout=_PROBE_SECONDS)


def _verified_file(release: Release) -> Path:
    """Gives the released file on this machine, re-hashed, from wherever the store keeps it."""
    return Artifacts.open(state()).verified(ArtifactRef(release.uri, release.digest, release.size))
