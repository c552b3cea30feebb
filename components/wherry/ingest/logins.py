"""Finds the user and the password that a netrc file has for a host, as git and curl do.

There may be no git program, and so none of its helpers, to ask for them; and nobody sits before a
pod's terminal to be asked.
"""

import netrc
import os
from typing import Final
from urllib.parse import quote, urlsplit

from wherry.contracts.errors import FormatError

NETRC_REMEDY: Final = (
    "Put the user and a token for the host into ~/.netrc, or a file that NETRC names: "
    "machine HOST login USER password TOKEN."
)


def login_for(host: str) -> tuple[str, str] | None:
    """Gives the user and the password for a host, or None if there are none.

    They come from ``~/.netrc``, or the file that ``NETRC`` names.

    Raises:
        FormatError: if the file cannot be read; the message holds nothing of it.
    """
    # Not Path.home(): it raises where a user id has no home.
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")  # noqa: PTH111 - see above
    try:
        found = netrc.netrc(path).authenticators(host)
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, UnicodeDecodeError):
        raise FormatError(  # not the library's words: they may hold a password
            f"{path} is no netrc file, so there are no credentials for {host}.",
            remedy="Correct it: machine HOST login USER password TOKEN.",
        ) from None
    return (found[0] or "", found[2] or "") if found else None


def with_login(address: str) -> str:
    """Adds to an https address the login of its host; one that names a user stays as it is.

    Raises:
        FormatError: as `login_for`.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" or "@" in parts.netloc:
        return address
    if (found := login_for(parts.hostname or "")) is None:
        return address
    user, password = (quote(part, safe="") for part in found)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl()
