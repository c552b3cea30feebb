"""Mirrors versions and aliases into Kubeflow's model registry, over its REST API v1alpha3.

https://www.kubeflow.org/docs/components/model-registry/reference/rest-api/
It knows no aliases: they stand in properties of the registered model, ``wherry.alias.NAME``.
"""

import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import requests

from wherry.contracts import Release, Scores
from wherry.contracts.errors import MirrorError
from wherry.ledger.redaction import redact_text
from wherry.release.mirror import Mirrored

TOKEN_VARIABLE: Final = "KUBEFLOW_MODEL_REGISTRY_TOKEN"  # noqa: S105 - a name, not the token
_API: Final = "/api/model_registry/v1alpha3"
_SECONDS: Final = 30.0
_DIGEST: Final = "wherry.digest"
_ALIAS: Final = "wherry.alias."


class KubeflowMirror:
    """One Kubeflow model registry.

    Args:
        address: such as ``https://model-registry.example``; a bearer token comes from
            ``KUBEFLOW_MODEL_REGISTRY_TOKEN`` alone.
    """

    kind: Final = "kubeflow"

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/") + _API
        self._session = requests.Session()
        if token := os.environ.get(TOKEN_VARIABLE):
            self._session.headers["Authorization"] = f"Bearer {token}"

    def seen(self, name: str) -> Mirrored:
        """Gives what the registry holds of a model."""
        model = self._model(name)
        if model is None:
            return Mirrored()
        versions = {
            int(one["name"]): _text(one, _DIGEST)
            for one in self._versions(model["id"])
            if str(one["name"]).isdecimal() and _text(one, _DIGEST)
        }
        aliases = {
            key.removeprefix(_ALIAS): int(_text(model, key) or 0)
            for key in model.get("customProperties") or {}
            if key.startswith(_ALIAS)
        }
        return Mirrored(versions, aliases)

    def add(self, release: Release, scores: Scores) -> None:
        """Adds a version and, below it, the file; an attempt that was cut off is finished."""
        model = self._model(release.name) or self._post(
            "/registered_models", {"name": release.name}
        )
        number = str(release.version)
        properties = _properties(release, scores)
        # Without its digest, which `seen` asks for: that is told once the file is there too.
        unfinished = {key: value for key, value in properties.items() if key != _DIGEST}
        version = self._version(model["id"], number) or self._post(
            "/model_versions",
            {
                "name": number,
                "registeredModelId": model["id"],
                "customProperties": unfinished,
            },
        )
        artifact = {
            "artifactType": "model-artifact",
            "name": f"{release.name}-{number}",
            "uri": release.uri,
            "modelFormatName": "gguf",
        }
        path = f"/model_versions/{version['id']}"
        there = self._asked("GET", f"{path}/artifacts").get("items") or []
        if artifact["name"] not in [one["name"] for one in there]:
            self._post(f"{path}/artifacts", artifact)
        self._asked("PATCH", path, {"customProperties": properties})

    def point(self, name: str, alias: str, version: int) -> None:
        """Notes an alias on the model."""
        model = self._model(name)
        if model is None:
            raise _refused(name, "it does not hold the model")
        kept = model.get("customProperties") or {}
        properties = {**kept, f"{_ALIAS}{alias}": _property(str(version))}
        self._asked("PATCH", f"/registered_models/{model['id']}", {"customProperties": properties})

    def _model(self, name: str) -> dict[str, Any] | None:
        path = f"/registered_model?name={quote(name)}"
        return self._asked("GET", path, may_lack=True) or None

    def _version(self, model: str, number: str) -> dict[str, Any] | None:
        return next((one for one in self._versions(model) if one["name"] == number), None)

    def _versions(self, model: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            path = f"/registered_models/{model}/versions?pageSize=100"
            page = self._asked("GET", path + (f"&nextPageToken={quote(token)}" if token else ""))
            yield from page["items"]
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._asked("POST", path, body)

    def _asked(
        self, method: str, path: str, body: object = None, *, may_lack: bool = False
    ) -> dict[str, Any]:
        try:
            answer = self._session.request(
                method, self._address + path, json=body, timeout=_SECONDS, allow_redirects=False
            )
            if may_lack and answer.status_code == requests.codes.not_found:
                return {}
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise _refused(path, str(error)) from error
        return found


def _refused(what: str, why: str) -> MirrorError:
    return MirrorError(
        f"Kubeflow's model registry did not take {what}: {redact_text(why):.300}.",
        remedy="The store is unharmed. Correct the registry; then: wherry models reconcile",
    )


def _properties(release: Release, scores: Scores) -> dict[str, Any]:
    lineage = release.lineage
    plain = {
        _DIGEST: release.digest,
        "wherry.data": lineage.data_digest,
        "wherry.base": lineage.base_uri,
        "wherry.blessing": lineage.blessing_digest,
    }
    whole = (one for one in scores.metrics if not one.slice and one.value is not None)
    numbers = {
        f"wherry.score.{one.name}": {
            "metadataType": "MetadataDoubleValue",
            "double_value": one.value,
        }
        for one in whole
    }
    return {key: _property(value) for key, value in plain.items()} | numbers


def _property(value: str) -> dict[str, str]:
    return {"metadataType": "MetadataStringValue", "string_value": value}


def _text(item: dict[str, Any], key: str) -> str:
    found = (item.get("customProperties") or {}).get(key) or {}
    return str(found.get("string_value", ""))
