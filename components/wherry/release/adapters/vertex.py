"""Mirrors versions and aliases into Vertex AI's model registry.

What is mirrored is the record, not a deployment: a model there without a serving container.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.aiplatform_v1 import Model, ModelServiceClient

from wherry.contracts import Release, Scores
from wherry.contracts.errors import MirrorError
from wherry.release.mirror import Mirrored

_SECONDS: Final = 300.0
_SCHEMA: Final = "wherry.vertex-version/1"


class VertexMirror:
    """The models of one project and location.

    Args:
        parent: ``projects/PROJECT/locations/LOCATION``.
        client: of that location; made from the platform's own credentials if None.
    """

    kind: Final = "vertex"

    def __init__(self, parent: str, client: ModelServiceClient | None = None) -> None:
        location = parent.rpartition("/")[2]
        self._parent = parent
        with _in_our_words(parent):
            self._client = client or ModelServiceClient(
                client_options={"api_endpoint": f"{location}-aiplatform.googleapis.com"}
            )

    def seen(self, name: str) -> Mirrored:
        """Gives what the registry holds of a model."""
        with _in_our_words(name):
            found = self._versions(name)
        digests: dict[int, str] = {}
        aliases: dict[str, int] = {}
        for version in found:
            number, digest = _noted(version)
            if number:
                digests[number] = digest
            # `default` is Vertex's own.
            aliases |= {each: number for each in version.version_aliases if each != "default"}
        return Mirrored(digests, aliases)

    def add(self, release: Release, scores: Scores) -> None:
        """Adds a version; no alias moves by it, Vertex's ``default`` neither."""
        with _in_our_words(release.name):
            known = bool(self._versions(release.name))
            request = {
                "parent": self._parent,
                "model": Model(
                    display_name=release.name,
                    version_description=_note(release, scores),
                    # A folder, and one that Vertex can read.
                    artifact_uri=release.uri.rpartition("/")[0]
                    if release.uri.startswith("gs://")
                    else "",
                    labels={"wherry-version": str(release.version)},
                ),
            }
            # A model of this id that is not there yet is made by its id, a further version by
            # its parent.
            more = (
                {"parent_model": self._path(release.name)} if known else {"model_id": release.name}
            )
            self._client.upload_model(request | more).result(timeout=_SECONDS)

    def point(self, name: str, alias: str, version: int) -> None:
        """Moves an alias; a ``-`` before it takes it from where it was."""
        with _in_our_words(name):
            for each in self._versions(name):
                if alias in each.version_aliases and _noted(each)[0] != version:
                    self._merge(name, each.version_id, f"-{alias}")
            there = next(one for one in self._versions(name) if _noted(one)[0] == version)
            self._merge(name, there.version_id, alias)

    def _merge(self, name: str, version: str, alias: str) -> None:
        self._client.merge_version_aliases(
            name=f"{self._path(name)}@{version}", version_aliases=[alias]
        )

    def _versions(self, name: str) -> list[Model]:
        try:
            return list(self._client.list_model_versions(name=self._path(name)))
        except exceptions.NotFound:
            return []

    def _path(self, name: str) -> str:
        return f"{self._parent}/models/{name}"


def _note(release: Release, scores: Scores) -> str:
    """Gives what the registry shows of a version; labels are too short for a digest."""
    accuracy = scores.find("accuracy")
    note = {
        "schema": _SCHEMA,
        "version": release.version,
        "digest": release.digest,
        "uri": release.uri,
        "data": release.lineage.data_digest,
        "blessing": release.lineage.blessing_digest,
        "accuracy": accuracy.value if accuracy else None,
    }
    return json.dumps(note)


def _noted(version: Model) -> tuple[int, str]:
    """Gives the store's number and digest; 0 of a version that is not from here."""
    try:
        note: Any = json.loads(version.version_description)
        if note["schema"] == _SCHEMA:
            return int(note["version"]), str(note["digest"])
    except (ValueError, TypeError, KeyError):
        pass
    return 0, ""


@contextmanager
def _in_our_words(name: str) -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPIError, GoogleAuthError) as error:
        raise MirrorError(
            f"Vertex AI's model registry did not take {name}: {error}.",
            remedy="The store is unharmed. Correct the registry; then: wherry models reconcile",
        ) from error
