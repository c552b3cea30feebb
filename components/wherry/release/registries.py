"""Opens the registry that an address names."""

import os
from typing import Final

from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.release.mirror import Mirror

MIRRORS_VARIABLE: Final = "WHERRY_MIRRORS"
"""Addresses, separated by spaces, that every release is mirrored to."""
FORMS: Final = "mlflow:ADDRESS, vertex:PROJECT/LOCATION, kubeflow:ADDRESS"


def mirrors() -> tuple[str, ...]:
    """Gives the addresses of ``WHERRY_MIRRORS``."""
    return tuple(os.environ.get(MIRRORS_VARIABLE, "").split())


def open_mirror(address: str) -> Mirror:
    """Opens the registry at an address, such as ``mlflow:https://mlflow.example``.

    Raises:
        SettingsError: if it is of no form that there is.
        ExtraMissingError: if its client is not installed.
    """
    kind, _, rest = address.partition(":")
    try:
        if kind == "mlflow" and rest:
            from wherry.release.adapters.mlflow import MlflowMirror

            return MlflowMirror(rest)
        if kind == "kubeflow" and rest.startswith(("http://", "https://")):
            from wherry.release.adapters.kubeflow import KubeflowMirror

            return KubeflowMirror(rest)
        if kind == "vertex" and rest.count("/") == 1:
            from wherry.release.adapters.vertex import VertexMirror

            project, location = rest.split("/")
            return VertexMirror(f"projects/{project}/locations/{location}")
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Mirroring to {kind} needs {error.name}, which is not installed.",
            remedy=f'Run: pip install "wherry[{"vertex" if kind == "vertex" else "mlflow"}]"',
        ) from error
    # The address may hold a password: only its kind is shown.
    raise SettingsError(
        f"a registry of the kind {kind!r} cannot be mirrored to: expected {FORMS}.",
        remedy=f"Correct --mirror or {MIRRORS_VARIABLE}.",
    )
