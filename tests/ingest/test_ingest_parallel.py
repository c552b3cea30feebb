"""Tasks side by side on one repository: nobody waits for another's lock, nobody fails on it."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.rows import splits, write
from tests.ingest import repositories
from tests.ingest.repositories import commit, pin
from tests.ingest.servers import Proxy
from wherry.contracts import Manifest

pytestmark = pytest.mark.local

SETTINGS = '{"folder": "icd10"}'


def pushed(root: Path, url: str) -> Path:
    """A checkout whose data and cache lie in its store alone."""
    repositories.init(root, url)
    write(root / "data" / "icd10", splits())
    pin(root)
    commit(root)
    shutil.rmtree(root / "data")
    shutil.rmtree(root / ".dvc" / "cache")
    return root


def six_at_once(repo: str, out: Path) -> set[str]:
    """Runs six stages as pods do, and gives the digests of what they made."""
    command = [sys.executable, "-m", "wherry.ingest", "--repo", repo, "--settings", SETTINGS]
    running = [
        subprocess.Popen(
            [*command, "--dataset", str(out / str(number))],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for number in range(6)
    ]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 6, told
    return {Manifest.verified(out / str(number)).digest for number in range(6)}


@pytest.mark.parametrize("form", ["checkout", "address"])
def test_six_ingests_at_once_do_not_trip_over_each_other(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = pushed(tmp_path / "origin", "../data-store")
    repo = str(root) if form == "checkout" else f"file://{root}"
    assert len(six_at_once(repo, tmp_path / "out")) == 1


def test_six_ingests_at_once_from_s3(
    tmp_path: Path, s3_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    name = f"b-{uuid.uuid4().hex[:12]}"
    client: Any = boto3.client("s3", endpoint_url=s3_proxy.upstream)
    client.create_bucket(Bucket=name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = pushed(tmp_path / "origin", f"s3://{name}/store")
    assert len(six_at_once(str(root), tmp_path / "out")) == 1
