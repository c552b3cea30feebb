"""Keys under kill -9: whatever happened, one key signs and the keyring can be read."""

import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wherry.signing import BLESSING, KeyFolder, sign, verify

pytestmark = pytest.mark.faults
NOW = datetime.now(UTC) - timedelta(seconds=1)
KILLS = 25


def _rotate(folder: Path) -> None:
    while True:
        KeyFolder(folder).rotate(NOW)


def test_a_killed_rotation_leaves_a_key_that_signs(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.init("ann", NOW)
    first = sign(b"first", BLESSING, keys.signer())
    dice = random.Random(0)
    for _ in range(KILLS):
        child = multiprocessing.get_context("fork").Process(target=_rotate, args=(keys.folder,))
        before = keys.keyring().current
        child.start()
        while keys.keyring().current == before and child.is_alive():
            time.sleep(0.001)
        time.sleep(dice.uniform(0.0, 0.01))
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        again = sign(b"again", BLESSING, keys.signer())
        assert verify(again, BLESSING, keys.keyring()) == b"again"
    assert len(keys.keyring().keys) > KILLS
    assert verify(first, BLESSING, keys.keyring()) == b"first"
    keys.rotate(NOW)
    assert len(list(keys.folder.glob("*.pem"))) == 1
