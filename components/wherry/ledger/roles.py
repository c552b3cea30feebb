"""Who may do what: an optional policy that every change of the store is held against."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from wherry.contracts.errors import RoleError
from wherry.ledger.policies import read_policy
from wherry.ledger.records import Actor

ROLES_VARIABLE: Final = "WHERRY_ROLES"
ROLES_NAME: Final = "roles.yaml"
ANYBODY: Final = "*"
Change = Literal[
    "register", "approve", "promote", "rollback", "deploy", "retire", "revoke", "waive"
]


@dataclass(frozen=True)
class Roles:
    """The actors that may make each change; ``*`` is anybody, an empty list nobody.

    A policy names all of them: what it forgot would be open, or closed in an emergency. It
    guards against mistakes; whoever can write to the store itself is held by its signatures.
    """

    register: tuple[str, ...]
    """Who may add versions: as a rule the service that runs the pipeline."""
    approve: tuple[str, ...]
    promote: tuple[str, ...]
    rollback: tuple[str, ...]
    deploy: tuple[str, ...]
    retire: tuple[str, ...]
    revoke: tuple[str, ...]
    waive: tuple[str, ...]
    """Who may sign waivers of the gate's rules."""

    def allows(self, action: Change, who: str) -> bool:
        """Says whether the policy lets somebody make a change."""
        allowed: tuple[str, ...] = getattr(self, action)
        return ANYBODY in allowed or who in allowed

    def check(self, action: Change, actor: Actor) -> None:
        """Refuses an actor that the policy does not name for an action.

        Raises:
            RoleError: naming who may.
        """
        if self.allows(action, actor.id):
            return
        allowed: tuple[str, ...] = getattr(self, action)
        raise RoleError(
            f"{actor.id!r} may not {action}: the roles policy names "
            f"{', '.join(allowed) or 'nobody'}.",
            remedy="Ask one of them, or have the policy changed.",
        )


OPEN: Final = Roles(*[(ANYBODY,)] * len(fields(Roles)))
"""What holds where there is no policy."""


def read_roles(state: Path) -> Roles:
    """Reads the policy: the file that ``WHERRY_ROLES`` names, or ``roles.yaml`` of the workspace.

    Example of such a file::

        register: [ci-runner]
        approve: [ana, bo]
        promote: [ci-runner, ana]
        rollback: ["*"]
        deploy: [ci-runner]
        retire: [ana]
        revoke: [ana]
        waive: [bo]

    Raises:
        SettingsError: if the named file is not there, or is no such policy.
    """
    return read_policy(Roles, state, ROLES_VARIABLE, ROLES_NAME) or OPEN
