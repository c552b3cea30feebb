"""Finds where the store's tables lie: a SQLite file of this machine, or a PostgreSQL database."""

import os
from pathlib import Path
from typing import Final

from wherry.contracts.errors import StoreError

STORE_VARIABLE: Final = "WHERRY_STORE"
STORE_NAME: Final = "ledger.db"
_FILE: Final = "sqlite:///"
_SERVER: Final = ("postgresql://", "postgres://")


def store_address(state: Path) -> Path | str:
    """Gives the SQLite file of a state folder, or what ``WHERRY_STORE`` names.

    Returns:
        The path of a SQLite file, or the URL of a PostgreSQL database.

    Raises:
        StoreError: if ``WHERRY_STORE`` names neither.
    """
    address = os.environ.get(STORE_VARIABLE, "")
    if not address:
        return state / STORE_NAME
    if address.startswith(_SERVER):
        return f"{_SERVER[0]}{address.partition('://')[2]}"
    path = address.removeprefix(_FILE)
    if path == address or not path or ":memory:" in path or "?" in path:
        # The address itself may hold a password: only its scheme is shown.
        raise StoreError(
            f"{STORE_VARIABLE} is a {address.partition(':')[0]!r} address, expected "
            f"{_FILE}PATH or {_SERVER[0]}USER@HOST/DATABASE.",
            remedy=f"Unset {STORE_VARIABLE}, or set it to one of the two.",
        )
    return Path(path)
