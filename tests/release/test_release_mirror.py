"""Another registry follows the store and never leads it.

MLflow's is the real one on a database of its own; Vertex's and Kubeflow's are stand-ins, asked by
the real client and over real HTTP.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.registries import KubeflowRegistry, VertexRegistry
from tests.fakes.releases import NAME, POLICY, candidate, promote, roll_back
from wherry.contracts.errors import MirrorError, SettingsError
from wherry.ledger import CHAMPION, Ledger
from wherry.release.mirror import Mirror, differences, reconcile
from wherry.release.registries import open_mirror

pytestmark = pytest.mark.local


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A store with two versions, the second one live."""
    with Ledger.open(tmp_path / ".wherry") as opened:
        for content in (b"1", b"2"):
            release = opened.register(candidate(opened, tmp_path, content))
            promote(opened, release.version, reason="better")
        yield opened


@pytest.fixture(params=["mlflow", "kubeflow", "vertex"])
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mirror]:
    """An empty registry."""
    if request.param == "mlflow":
        yield open_mirror(f"mlflow:sqlite:///{tmp_path}/mlflow.db")
        return
    registry = KubeflowRegistry() if request.param == "kubeflow" else VertexRegistry()
    try:
        if isinstance(registry, KubeflowRegistry):
            yield open_mirror(f"kubeflow:{registry.address}/")
        else:
            from wherry.release.adapters.vertex import VertexMirror

            yield VertexMirror("projects/p/locations/l", registry.client())
    finally:
        registry.stop()


def test_an_empty_registry_gets_everything_once(ledger: Ledger, mirror: Mirror) -> None:
    found = reconcile(ledger, mirror, NAME)
    assert [(one.what, one.key, one.mirror, one.mended) for one in found] == [
        ("version", "1", "", True),
        ("version", "2", "", True),
        ("alias", "champion", "", True),
        ("alias", "previous", "", True),
    ]
    assert differences(ledger, mirror, NAME) == ()
    assert dict(mirror.seen(NAME).versions) == {
        release.version: release.digest for release in ledger.releases(NAME)
    }


def test_a_rollback_moves_its_alias(ledger: Ledger, mirror: Mirror) -> None:
    reconcile(ledger, mirror, NAME)
    roll_back(ledger)
    found = {(one.key, one.store, one.mirror) for one in differences(ledger, mirror, NAME)}
    assert found == {(CHAMPION, "1", "2"), ("previous", "2", "1")}
    reconcile(ledger, mirror, NAME)
    assert mirror.seen(NAME).aliases == {CHAMPION: 1, "previous": 2}


def test_what_somebody_changed_there_is_told_and_left(ledger: Ledger, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    mirror = open_mirror(f"mlflow:sqlite:///{tmp_path}/mlflow.db")
    reconcile(ledger, mirror, NAME)
    address = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    client.set_model_version_tag(NAME, "1", "wherry.digest", "sha256:other")
    foreign = client.create_model_version(NAME, source="s3://elsewhere")
    client.set_registered_model_alias(NAME, "theirs", foreign.version)
    (found,) = reconcile(ledger, mirror, NAME)
    assert (found.what, found.key, found.mirror, found.mended) == (
        "version",
        "1",
        "sha256:other",
        False,
    )


def test_a_registry_that_is_away_is_one_clear_error(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.release.adapters.mlflow import MlflowMirror

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = list(ledger.audit())
    with pytest.raises(MirrorError, match="MLflow did not take icd10-triage"):
        reconcile(ledger, MlflowMirror("http://127.0.0.1:9"), NAME)
    assert list(ledger.audit()) == before


@pytest.mark.parametrize("kind", ["mlflow", "kubeflow"])
def test_a_password_in_the_address_is_not_shown(ledger: Ledger, kind: str) -> None:
    with pytest.raises(MirrorError, match="Connection") as caught:
        reconcile(ledger, open_mirror(f"{kind}:http://ann:hunter2@127.0.0.1:9"), NAME)
    assert "hunter2" not in str(caught.value)


def test_without_googles_credentials_there_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(MirrorError, match="did not take projects/p/locations/l"):
        open_mirror("vertex:p/l")


def test_kubeflows_file_and_token_go_along(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEFLOW_MODEL_REGISTRY_TOKEN", "hush")
    registry = KubeflowRegistry()
    try:
        reconcile(ledger, open_mirror(f"kubeflow:{registry.address}"), NAME)
    finally:
        registry.stop()
    assert [one["uri"] for one in registry.artifacts] == [one.uri for one in ledger.releases(NAME)]
    assert {token for *_, token in registry.asked} == {"Bearer hush"}


def test_what_kubeflow_took_by_half_is_finished(ledger: Ledger) -> None:
    registry = KubeflowRegistry()
    try:
        mirror = open_mirror(f"kubeflow:{registry.address}")
        for broken in ("/artifacts", "/model_versions/1", "/model_versions/2"):
            registry.broken = broken
            with pytest.raises(MirrorError):
                reconcile(ledger, mirror, NAME)
        registry.broken = ""
        reconcile(ledger, mirror, NAME)
        assert differences(ledger, mirror, NAME) == ()
    finally:
        registry.stop()
    assert [one["uri"] for one in registry.artifacts] == [one.uri for one in ledger.releases(NAME)]
    assert len(registry.versions) == 2


def test_a_version_that_gave_its_file_up_is_added_nowhere(
    ledger: Ledger, mirror: Mirror, tmp_path: Path
) -> None:
    third = ledger.register(candidate(ledger, tmp_path, b"3"))
    ledger.expire(lambda: [(third, "old")], POLICY)
    reconcile(ledger, mirror, NAME)
    assert set(mirror.seen(NAME).versions) == {1, 2}
    assert differences(ledger, mirror, NAME) == ()


def test_an_unknown_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="'redis' cannot be mirrored to") as caught:
        open_mirror("redis://user:hush@host")
    assert "hush" not in str(caught.value)
