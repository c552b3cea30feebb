"""The components through KFP's local runner: a blessed run releases, a refused one ends red."""

import json
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, run_files
from wherry.contracts import Blessing, Release
from wherry.ledger import CHAMPION, Ledger
from wherry.runtime.local import Run, StageFailedError, run_pipeline

pytestmark = pytest.mark.local
PIPELINE = Path(__file__).parent / "pipelines" / "gate_to_release.py"


def run(workspace: Path, floor: float) -> Run:
    """Runs the two components on the files in the workspace."""
    policy = json.dumps({"floors": {"accuracy": floor}})
    return run_pipeline(
        PIPELINE,
        {"name": NAME, "policy": policy},
        state=workspace / ".wherry",
        tag="test",
        on_event=lambda event: None,
    )


def test_a_blessed_file_is_released_once_and_a_refused_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ".wherry"
    run_files(tmp_path / "files")
    monkeypatch.setenv("RUN_FILES", str(tmp_path / "files"))

    with pytest.raises(StageFailedError, match=r"accuracy is 70\.00%, at least 90") as caught:
        run(tmp_path, floor=0.9)
    assert (caught.value.stage, caught.value.code, caught.value.exit_code) == (
        "refuse",
        "E_GATE",
        3,
    )
    refusal = caught.value.run.artifact("blessing")
    assert refusal
    assert not Blessing.read(refusal).passed
    assert not Ledger.exists(state)

    for _ in range(2):
        written = run(tmp_path, floor=0.6).artifact("release")
        assert written
        assert Release.read(written).version == 1
    with Ledger.open(state) as ledger:
        assert [row.action for row in ledger.audit()] == ["register", "promote"]
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live == Release.read(written)
