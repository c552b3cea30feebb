"""What of the store lies where other machines reach it too, for the tasks of a cluster."""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from wherry.contracts.errors import SettingsError
from wherry.ledger.redaction import redact_text

_REACHED: Final = {
    "WHERRY_STORE": ("postgresql://", "postgres://"),
    "WHERRY_ARTIFACTS": ("s3://", "gs://"),
    "WHERRY_CHECKPOINTS": ("s3://", "gs://"),
    "WHERRY_MIRRORS": ("mlflow:https://", "mlflow:http://", "kubeflow:", "vertex:"),
}
"""Variables whose values a compiled pipeline hands on, where they begin with one of these."""

_BUCKETS: Final = "/gcs/"
"""Where Vertex AI has every bucket of Cloud Storage as a folder."""

_IN_BUCKETS: Final = ("WHERRY_KEYS", "WHERRY_ROLES", "WHERRY_RETENTION")
"""Variables that name folders and files, which only a bucket keeps from one task to the next."""


def shared_places(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Gives the variables that name servers and buckets; those that name folders stay here.

    Raises:
        SettingsError: if the store's address holds a password: a compiled pipeline is a file
            that many can read.
    """
    given = {name: environment.get(name, "") for name in _REACHED}
    shared = {name: value for name, value in given.items() if _is_reached(name, value)}
    if _has_password(shared.get("WHERRY_STORE", "")):
        raise SettingsError(
            "WHERRY_STORE holds a password, which would stand in the compiled pipeline.",
            remedy="Leave it out of the address: on Kubernetes the tasks take it from the key "
            "`password` of the Secret `wherry-store`.",
        )
    if any(map(_holds_secret, shared.get("WHERRY_MIRRORS", "").split())):
        raise SettingsError(
            "WHERRY_MIRRORS holds a password or token, which would stand in the compiled pipeline.",
            remedy="Leave it out of the address: the registry's own variables, such as "
            "MLFLOW_TRACKING_TOKEN, take it from a Secret.",
        )
    return shared


def bucket_places(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Gives the variables that name folders or files of buckets, as tasks on Vertex see them."""
    given = {name: environment.get(name, "") for name in _IN_BUCKETS}
    return {name: value for name, value in given.items() if value.startswith(_BUCKETS)}


def _is_reached(name: str, value: str) -> bool:
    # Checkpoints have several places, with commas between; mirrors with spaces.
    places = {"WHERRY_CHECKPOINTS": value.split(","), "WHERRY_MIRRORS": value.split()}
    each = places.get(name, [value])
    return bool(each) and all(place.strip().startswith(_REACHED[name]) for place in each)


def _has_password(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:  # such as a bracket that nothing closes: who reads it tells
        return False
    return parts.password is not None or "password" in parse_qs(parts.query)


def _holds_secret(address: str) -> bool:
    """Of a registry a name alone before the host is a token."""
    return redact_text(address) != address or _has_password(address)
