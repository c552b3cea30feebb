"""Mirrors versions and aliases into an MLflow model registry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from wherry.contracts import Release, Scores
from wherry.contracts.errors import MirrorError
from wherry.ledger.redaction import redact_text
from wherry.release.mirror import Mirrored

_VERSION: Final = "wherry.version"
_DIGEST: Final = "wherry.digest"
# MLflow asks a server that is down for four minutes, and nobody waits so long for a mirror.
_PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


class MlflowMirror:
    """One MLflow registry. Its own version numbers differ: ours stands in a tag.

    Args:
        address: of the registry, such as ``https://mlflow.example`` or ``sqlite:///mlflow.db``;
            user and password come from MLflow's environment variables alone.
    """

    kind: Final = "mlflow"

    def __init__(self, address: str) -> None:
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        with _in_our_words("the address"):
            self._client = MlflowClient(tracking_uri=address, registry_uri=address)

    def seen(self, name: str) -> Mirrored:
        """Gives what the registry holds of a model."""
        with _in_our_words(name):
            numbers = {str(one.version): _number(one) for one in self._versions(name)}
            digests = {_number(one): one.tags.get(_DIGEST, "") for one in self._versions(name)}
            digests.pop(0, None)
            aliases = self._model(name).aliases if numbers else {}
        return Mirrored(
            digests, {alias: numbers.get(str(there), 0) for alias, there in aliases.items()}
        )

    def add(self, release: Release, scores: Scores) -> None:
        """Adds a version; a run of its own is not made."""
        with _in_our_words(release.name):
            if not self._known(release.name):
                self._client.create_registered_model(release.name)
            self._client.create_model_version(
                release.name, source=release.uri, tags=_tags(release, scores)
            )

    def point(self, name: str, alias: str, version: int) -> None:
        """Points an alias at our version, by the registry's own number."""
        with _in_our_words(name):
            there = next(one.version for one in self._versions(name) if _number(one) == version)
            self._client.set_registered_model_alias(name, alias, there)

    def _known(self, name: str) -> bool:
        return bool(self._client.search_registered_models(f"name = '{name}'"))

    def _model(self, name: str) -> Any:
        return self._client.get_registered_model(name)

    def _versions(self, name: str) -> list[Any]:
        found, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{name}'", page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return found


def _number(version: Any) -> int:
    text = version.tags.get(_VERSION, "")
    return int(text) if text.isdecimal() else 0


def _tags(release: Release, scores: Scores) -> dict[str, str]:
    lineage = release.lineage
    tags = {
        _VERSION: str(release.version),
        _DIGEST: release.digest,
        "wherry.data": lineage.data_digest,
        "wherry.base": lineage.base_uri,
        "wherry.policy": lineage.policy_digest,
        "wherry.blessing": lineage.blessing_digest,
    }
    whole = (one for one in scores.metrics if not one.slice and one.value is not None)
    return tags | {f"wherry.score.{one.name}": repr(one.value) for one in whole}


@contextmanager
def _in_our_words(name: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise MirrorError(
            # Its address stands in it, and somebody's password perhaps in that.
            f"MLflow did not take {name}: {redact_text(str(error.message)):.300}.",
            remedy="The store is unharmed. Correct the registry; then: wherry models reconcile",
        ) from error
