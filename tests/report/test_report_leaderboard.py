"""The benchmark beside published figures does not pass where it compared none."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("given", [(None, None), (Path("model"), None), (None, Path("data"))])
def test_nothing_compared_is_a_goal_missed(
    given: tuple[Path | None, Path | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    leaderboard = importlib.import_module("leaderboard")
    figures = leaderboard.published(*given, tmp_path)
    with pytest.raises(SystemExit) as left:
        leaderboard.conclude(figures)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (left.value.code, told["ok"]) == (1, False)
    assert told["figures"][0]["goal"] == "\N{GREATER-THAN OR EQUAL TO} 7 of 7"
