"""A version says what it was tuned from besides data and base."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.releases import NAME, run_files
from wherry.contracts import Manifest, ModelRef, Release, digest_bytes
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import Ledger
from wherry.release.run import run

TEACHER, START = digest_bytes(b"teacher"), digest_bytes(b"start")


@pytest.mark.parametrize("found", [(TEACHER, START), (None, None)])
def test_the_lineage_names_the_teacher_and_the_adapter_that_training_went_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[str | None, str | None]
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    files, out = run_files(tmp_path / "run"), tmp_path / "release.json"
    adapter = ModelRef.read(files.adapter / MODEL_NAME)
    told = replace(adapter, teacher_digest=found[0], start_digest=found[1])
    (files.adapter / "manifest.json").unlink()
    told.write(files.adapter / MODEL_NAME)
    Manifest.seal(files.adapter)
    run(files.gguf, files.blessing, files.dataset, files.scores_quantized, files.scores_tuned,
        files.base, files.adapter, out, NAME)  # fmt: skip
    lineage = Release.read(out).lineage
    assert (lineage.teacher_digest, lineage.start_digest) == found
    with Ledger.open(tmp_path / ".wherry") as ledger:
        assert ledger.find(NAME, 1) == Release.read(out)
        assert ledger.verify().ok
