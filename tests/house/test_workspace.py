"""What outlives a run is not left with the run's own temporary folder."""

import pytest

from wherry.workspace import OUTER_TMPDIR_VARIABLE, lasting_environment


@pytest.mark.parametrize("outer", ["/large", ""])
def test_a_server_that_a_run_starts_gets_the_folder_around_the_run(
    monkeypatch: pytest.MonkeyPatch, outer: str
) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp/wherry-gone")  # a name; nothing is made
    monkeypatch.setenv(OUTER_TMPDIR_VARIABLE, outer)
    found = lasting_environment()
    assert found.get("TMPDIR", "") == outer
    assert outer or "TMPDIR" not in found
    assert OUTER_TMPDIR_VARIABLE not in found


def test_outside_a_run_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/large")
    monkeypatch.delenv(OUTER_TMPDIR_VARIABLE, raising=False)
    assert lasting_environment()["TMPDIR"] == "/large"
