"""The components through KFP's local runner: a blessed run releases, a refused one ends red."""

import json
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, run_files
from wherry.contracts import Blessing, Release
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.checkpoints import opened
from wherry.runtime.local import Run, StageFailedError, run_pipeline
from wherry.signing import KeyFolder

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


def told(state: Path) -> list[tuple[str, str]]:
    """The stages that were recorded, with the code of what they failed with; and nothing else."""
    with Ledger.open(state) as ledger:
        rows = list(ledger.audit())
    assert all(row.stage for row in rows)
    return [(row.stage.name, row.error_code) for row in rows if row.stage]


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
    assert told(state) == [("gate", "")]

    key = KeyFolder(state / "keys")  # `run_files` made it
    for _ in range(2):
        made = run(tmp_path, floor=0.6)
        written, signed = made.artifact("release"), made.artifact("checkpoint")
        assert written and signed
        assert Release.read(written).version == 1
        held = opened(signed.read_bytes(), key.keyring())
    with Ledger.open(state) as ledger:
        made = [row.action for row in ledger.audit() if not row.stage]
        assert made == ["register", "promote"]
        assert ledger.verify([held]).checkpoints == 1
        live = ledger.release_at_alias(NAME, CHAMPION)
        assert live == Release.read(written)
