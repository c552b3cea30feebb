"""Finds out who changes the store."""

import os
import socket

from wherry.ledger.records import Actor


def process_actor() -> Actor:
    """Gives the operating system's user of this process; in a pod, a service on its host.

    ``USER`` and ``LOGNAME`` are not asked: whoever starts the process sets them.
    """
    user = _user()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return Actor(id=f"{user}@{socket.gethostname()}", kind="service", authenticated="os-user")
    return Actor(id=user, kind="human", authenticated="os-user")


def _user() -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        # Some clusters give containers a user id without a name.
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
