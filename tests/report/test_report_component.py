"""The report as KFP runs it: with and without a release."""

from pathlib import Path

import pytest

from tests.report.records import evidence, refused, write_run
from wherry.report.evidence import Evidence

pytestmark = pytest.mark.local


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (evidence(), "Blessed, released and serving"),
        (refused(), "Refused: nothing was released"),
    ],
    ids=["released", "refused"],
)
def test_kfp_runs_it_with_and_without_a_release(
    found: Evidence, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp import dsl, local

    from wherry.report.component import report

    paths = write_run(tmp_path / "records", found)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "components"))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "out"))

    @dsl.pipeline(name="show")
    def show() -> None:
        given = {
            name: dsl.importer(artifact_uri=str(path), artifact_class=dsl.Artifact).output
            for name, path in paths.items()
        }
        report(**given, name="icd10-triage")

    show()
    (html,) = (path for path in (tmp_path / "out").rglob("html") if path.is_file())
    assert verdict in html.read_text()


def test_ladder_release_and_deployment_may_be_left_out_and_nothing_else() -> None:
    from wherry.report.component import report

    inputs = report.component_spec.inputs or {}
    optional = {name for name, given in inputs.items() if given.optional}
    assert optional == {"ladder", "release", "deployment", "name", "settings", "paired"}
