"""Reads a workspace's policies: YAML files that a variable may name."""

import os
from pathlib import Path
from typing import TypeVar

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError

T = TypeVar("T")


def read_policy(kind: type[T], state: Path, variable: str, name: str) -> T | None:
    """Reads the policy that a variable names, or that of the workspace; None if there is neither.

    Args:
        kind: what it is, a frozen dataclass.
        state: the folder ``.wherry``.
        variable: such as ``WHERRY_ROLES``.
        name: of the file in the workspace, such as ``roles.yaml``.

    Raises:
        SettingsError: if the named file is not there, or is no such policy.
    """
    named = os.environ.get(variable, "")
    path = Path(named) if named else state / name
    # A link to nowhere is a policy that is lost, not one that nobody made.
    if not named and not os.path.lexists(path):
        return None
    return read_settings(kind, _mapping(path, variable), where=str(path))


def _mapping(path: Path, variable: str) -> dict[str, object]:
    import yaml

    from wherry import strict_yaml

    try:
        found = strict_yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            f"the policy {path} cannot be read: {error}.",
            remedy=f"Correct {variable} or the file.",
        ) from error
    if not isinstance(found, dict):
        raise SettingsError(
            f"the policy {path} is no mapping of names to values.",
            remedy="See docs/guide.md for what stands in it.",
        )
    return found
