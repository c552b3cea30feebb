"""Finds out who changes the store: what the platform says, not what a caller claims."""

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any, Final

from wherry.ledger.records import Actor

_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_VERTEX_JOB: Final = "CLOUD_ML_JOB_ID"


def process_actor(token: Path = _TOKEN) -> Actor:
    """Gives who runs this process.

    In a pod that is its service account, as its mounted token names it; in a Vertex job the job;
    else the operating system's user. ``USER`` and ``LOGNAME`` are not asked: whoever starts the
    process sets them.

    Args:
        token: the pod's service account token.
    """
    user = _user()
    if job := os.environ.get(_VERTEX_JOB):
        return Actor(id=f"vertex-job:{job}", kind="service", authenticated="vertex-job")
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        if account := _service_account(token):
            return Actor(id=account, kind="service", authenticated="kubernetes-service-account")
        return Actor(id=f"{user}@{socket.gethostname()}", kind="service", authenticated="os-user")
    return Actor(id=user, kind="human", authenticated="os-user")


def _service_account(token: Path) -> str:
    """Gives ``system:serviceaccount:NAMESPACE:NAME`` of a token that the kubelet mounted.

    Its signature is not checked: the file system is what says that it is ours.
    """
    try:
        _, payload, _ = token.read_text(encoding="ascii").split(".")
        claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        subject = claims["sub"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return subject if isinstance(subject, str) else ""


def _user() -> str:
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        # Some clusters give containers a user id without a name.
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
