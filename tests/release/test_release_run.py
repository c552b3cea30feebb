"""A blessed file becomes a numbered version and the champion; anything else changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import NAME, RunFiles, run_files
from wherry import __version__
from wherry.contracts import (
    Blessing,
    Code,
    Dataset,
    Deployment,
    Manifest,
    ModelRef,
    Release,
    Scores,
    digest_bytes,
    digest_record,
    parse_uri,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FileAccessError,
    FormatError,
    GateRefusedError,
    ManifestError,
    MissingError,
    SettingsError,
    StoreError,
    TemplateError,
    WherryError,
)
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import CHAMPION, PREVIOUS, Ledger
from wherry.release import moves
from wherry.release.run import run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """The files of a first run."""
    return run_files(tmp_path / "run")


def release(files: RunFiles, **settings: Any) -> Release:
    """Runs the release on the files, and gives what it wrote."""
    out = files.gguf.parent / "release.json"
    run(
        files.gguf,
        files.blessing,
        files.dataset,
        files.scores_quantized,
        files.scores_tuned,
        files.base,
        files.adapter,
        out,
        NAME,
        **settings,
    )
    return Release.read(out)


def store(tmp_path: Path) -> Ledger:
    """The workspace's store."""
    return Ledger.open(tmp_path / ".wherry")


def test_the_first_release_is_version_one_and_champion(files: RunFiles, tmp_path: Path) -> None:
    made = release(files, run_settings='{"tune": "{}"}', code=Code("0.1.0", "abc").to_json())
    assert (made.name, made.version, made.aliases) == (NAME, 1, (CHAMPION,))
    assert made.digest == ModelRef.read(files.gguf / MODEL_NAME).digest
    path = Path(parse_uri(made.uri, workspace=tmp_path).path)
    assert path.read_bytes() == b"gguf bytes"
    assert made.size == len(b"gguf bytes")
    with store(tmp_path) as ledger:
        assert ledger.release_at_alias(NAME, CHAMPION) == made
        assert ledger.scores_of(NAME, 1) == Scores.read(files.scores_quantized)
        assert ledger.verify().ok
        assert [row.action for row in ledger.audit()] == ["register", "promote"]


def test_the_lineage_names_everything_it_was_made_from(files: RunFiles) -> None:
    made = release(files, run_settings='{"b": 1, "a": 2}', code=Code("0.1.0", "abc").to_json())
    lineage = made.lineage
    data = Dataset.read(files.dataset / DATASET_NAME)
    assert (lineage.data_digest, lineage.data_source) == (data.digest, data.source)
    assert lineage.base_digest == ModelRef.read(files.base / MODEL_NAME).digest
    assert lineage.adapter_digest == ModelRef.read(files.adapter / MODEL_NAME).digest
    assert lineage.settings_digest == digest_bytes(b'{"a":2,"b":1}')
    assert lineage.scores_digest == digest_record(Scores.read(files.scores_quantized))
    assert lineage.blessing_digest == digest_record(Blessing.read(files.blessing))
    assert lineage.code == Code("0.1.0", "abc")


def test_without_code_it_is_this_version_of_wherry(files: RunFiles) -> None:
    assert release(files).lineage.code == Code(version=__version__)


def test_a_second_run_changes_nothing(files: RunFiles, tmp_path: Path) -> None:
    first = release(files)
    with store(tmp_path) as ledger:
        before = ledger.verify(), ledger.alias(NAME, CHAMPION)
    files.bless(champion=first.digest)  # the gate now sees it as the champion
    assert release(files) == first
    with store(tmp_path) as ledger:
        assert (ledger.verify(), ledger.alias(NAME, CHAMPION)) == before
        assert ledger.alias(NAME, PREVIOUS) is None


def test_a_new_file_becomes_champion_and_the_old_one_previous(
    files: RunFiles, tmp_path: Path
) -> None:
    first = release(files)
    newer = run_files(tmp_path / "second", b"better bytes")
    newer.bless(champion=first.digest)
    second = release(newer)
    assert (second.version, second.aliases) == (2, (CHAMPION,))
    with store(tmp_path) as ledger:
        previous = ledger.release_at_alias(NAME, PREVIOUS)
        assert previous and previous.version == 1


def deployed(ledger: Ledger) -> None:
    """Records that what serves followed the champion."""
    live, at = ledger.release_at_alias(NAME, CHAMPION), ledger.alias(NAME, CHAMPION)
    assert live and at
    where = ("local", "http://127.0.0.1:1", at.generation)
    ledger.record_deployment(Deployment(NAME, live.version, live.digest, *where, True))  # type: ignore[arg-type]  # it is one of its targets


@pytest.mark.parametrize("recorded", [True, False])
def test_a_run_does_not_undo_a_rollback(files: RunFiles, tmp_path: Path, recorded: bool) -> None:
    """As a schedule's next run does, when nothing changed but the champion: all is cached."""
    first = release(files)
    again = run_files(tmp_path / "second", b"worse bytes")
    again.bless(champion=first.digest)
    with store(tmp_path) as ledger:
        if recorded:
            deployed(ledger)
        release(again)
        if recorded:
            deployed(ledger)
        moves.roll_back(ledger, NAME, keyring=files.keys.keyring(), reason="answers nonsense")
        at, rows = ledger.alias(NAME, CHAMPION), ledger.verify().rows
    with pytest.raises(
        ConflictError, match=r"v2, which was rolled back from: answers nons"
    ) as caught:
        release(again)
    assert f"wherry promote {NAME}:2" in caught.value.remedy
    with store(tmp_path) as ledger:
        assert (ledger.alias(NAME, CHAMPION), ledger.verify().rows) == (at, rows)
        moves.promote(ledger, NAME, 2, keyring=files.keys.keyring(), reason="good after all")
    again.bless(champion=digest_bytes(b"worse bytes"))
    assert release(again).aliases == (CHAMPION,)


def test_a_version_that_never_served_may_be_tried_again(files: RunFiles, tmp_path: Path) -> None:
    first = release(files)
    with store(tmp_path) as ledger:
        deployed(ledger)
    again = run_files(tmp_path / "second", b"better bytes")
    again.bless(champion=first.digest)
    made = release(again)
    with store(tmp_path) as ledger:
        at = ledger.alias(NAME, CHAMPION)
        assert at
        ledger.switch(  # as a deploy does whose port was taken
            *(CHAMPION, NAME, 1),
            expected_generation=at.generation,
            reason="version 2 did not deploy",
            action="rollback",
        )
    assert release(again).aliases == made.aliases == (CHAMPION,)


def test_a_champion_that_the_gate_did_not_see_is_a_conflict(
    files: RunFiles, tmp_path: Path
) -> None:
    release(files)
    late = run_files(tmp_path / "late", b"judged before the champion came")
    with pytest.raises(ConflictError, match="compared with the champion none") as caught:
        release(late)
    assert caught.value.exit_code == 4
    late.bless(champion=digest_bytes(b"another"))
    with pytest.raises(ConflictError, match=f"champion {digest_bytes(b'another')}, but"):
        release(late)
    with store(tmp_path) as ledger:
        assert [one.version for one in ledger.releases()] == [1]
    assert not (tmp_path / "late" / "release.json").exists()


def test_a_file_can_be_registered_without_being_promoted(files: RunFiles, tmp_path: Path) -> None:
    made = release(files, settings='{"promote": false}')
    assert (made.version, made.aliases) == (1, ())
    with store(tmp_path) as ledger:
        assert ledger.alias(NAME, CHAMPION) is None


def test_a_damaged_store_is_healed_by_releasing_again(files: RunFiles, tmp_path: Path) -> None:
    made = release(files)
    path = Path(parse_uri(made.uri, workspace=tmp_path).path)
    path.unlink()
    assert release(files) == made
    assert path.read_bytes() == b"gguf bytes"


def change(path: Path, kind: type[Any], **fields: Any) -> None:
    """Writes a record again with other fields."""
    replace(kind.read(path), **fields).write(path)


def refused(files: RunFiles) -> None:
    """The gate's refusal instead of its blessing."""
    blessing = Blessing.read(files.blessing)
    check = replace(blessing.checks[0], passed=False, reason="accuracy is 41%")
    replace(blessing, passed=False, checks=(check,)).write(files.blessing)


def forged(files: RunFiles) -> None:
    """A refusal with its verdict flipped by hand."""
    refused(files)
    change(files.blessing, Blessing, passed=True)


def rebless(files: RunFiles, **fields: Any) -> None:
    """A blessing with other fields."""
    change(files.blessing, Blessing, **fields)


def rescore(files: RunFiles, **fields: Any) -> None:
    """The quantized file's scores with other fields, blessed as they are."""
    change(files.scores_quantized, Scores, **fields)
    files.bless()


def remodel(folder: Path, **fields: Any) -> None:
    """A model folder's record with other fields, its manifest sealed again."""
    change(folder / MODEL_NAME, ModelRef, **fields)
    Manifest.seal(folder)


OTHER = digest_bytes(b"other")


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (refused, GateRefusedError, "accuracy is 41%"),
        (forged, GateRefusedError, "accuracy is 41%"),
        (lambda f: rebless(f, checks=()), GateRefusedError, "not judged by any check"),
        (lambda f: rebless(f, model_digest=OTHER), DigestError, "the blessing's model"),
        (lambda f: rebless(f, scores_digest=OTHER), DigestError, "the blessing's scores"),
        (lambda f: rescore(f, model_digest=OTHER), DigestError, "blessing's model|scores' model"),
        (lambda f: rescore(f, data_digest=OTHER), DigestError, "the data that it was scored on"),
        (lambda f: rescore(f, split="eval"), MissingError, "no split 'eval'"),
        (lambda f: rescore(f, template_digest=OTHER), TemplateError, "the quantized model"),
        (
            lambda f: change(f.scores_tuned, Scores, model_digest=OTHER),
            DigestError,
            "the tuned scores' model",
        ),
        (
            lambda f: change(f.scores_tuned, Scores, template_digest=OTHER),
            TemplateError,
            "the tuned model",
        ),
        (lambda f: remodel(f.gguf, adapter_digest=OTHER), DigestError, "the file's adapter"),
        (lambda f: remodel(f.gguf, base_digest=OTHER), DigestError, "the file's base"),
        (lambda f: remodel(f.adapter, base_digest=OTHER), DigestError, "the adapter's base"),
        (lambda f: remodel(f.gguf, digest=OTHER), DigestError, "model.gguf has digest"),
        (lambda f: remodel(f.gguf, file="gone.gguf"), DigestError, "gone.gguf has digest None"),
        (lambda f: remodel(f.gguf, format="adapter"), FormatError, "expected 'gguf'"),
        (lambda f: (f.gguf / "model.gguf").write_bytes(b"gguf bytez"), DigestError, "model.gguf"),
        (lambda f: (f.gguf / ".extra").write_bytes(b""), ManifestError, "not in its manifest"),
        (lambda f: (f.gguf / "manifest.json").unlink(), ManifestError, "no manifest.json"),
    ],
)
def test_parts_that_do_not_belong_together_release_nothing(
    files: RunFiles, tmp_path: Path, spoil: Any, error: type[WherryError], told: str
) -> None:
    spoil(files)
    with pytest.raises(error, match=told):
        release(files)
    assert not (files.gguf.parent / "release.json").exists()
    assert not (tmp_path / ".wherry" / "artifacts").exists()
    with store(tmp_path) as ledger:
        assert ledger.releases() == ()


@pytest.mark.parametrize(
    "settings",
    [{"settings": '{"promot": true}'}, {"run_settings": "no json"}, {"code": "{}"}],
)
def test_bad_settings_are_named_before_anything_is_stored(
    files: RunFiles, tmp_path: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(SettingsError):
        release(files, **settings)
    assert not (tmp_path / ".wherry" / "artifacts").exists()


def test_a_name_that_is_no_dns_label_is_refused(files: RunFiles, tmp_path: Path) -> None:
    out = tmp_path / "release.json"
    parts = (files.gguf, files.blessing, files.dataset, files.scores_quantized)
    with pytest.raises(SettingsError, match="no DNS label"):
        run(*parts, files.scores_tuned, files.base, files.adapter, out, "../../escape")
    assert not (tmp_path / ".wherry" / "artifacts").exists()
    assert [path.name for path in tmp_path.parent.rglob("escape*")] == []


def test_credentials_in_the_datas_address_reach_neither_store_nor_release(
    files: RunFiles, tmp_path: Path
) -> None:
    data = Dataset.read(files.dataset / DATASET_NAME)
    source = replace(data.source, uri="https://ann:hunter2@git.example/data.git")
    replace(data, source=source).write(files.dataset / DATASET_NAME)
    made = release(files)
    assert made.lineage.data_source.uri == "https://git.example/data.git"
    with store(tmp_path) as ledger:
        assert "hunter2" not in str(list(ledger.audit()))
    everything = b"".join(path.read_bytes() for path in (tmp_path / ".wherry").glob("ledger*"))
    assert b"hunter2" not in everything


def test_a_store_that_was_restored_from_an_older_copy_releases_nothing(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_CHECKPOINTS", str(tmp_path / "kept"))
    signed = tmp_path / "checkpoint.json"
    release(files, checkpoint=signed)
    (tmp_path / ".wherry" / "ledger.db").rename(tmp_path / "lost.db")
    signed.unlink()
    with pytest.raises(StoreError, match="the log has 0 rows, but 2 were signed"):
        release(files, checkpoint=signed)
    with store(tmp_path) as ledger:
        assert (ledger.releases(), ledger.log.size) == ((), 0)
    assert not signed.exists()
    monkeypatch.setenv("WHERRY_CHECKPOINTS", str(tmp_path / "begun anew"))
    assert release(files, checkpoint=signed).aliases == (CHAMPION,)


def test_what_cannot_be_signed_afterwards_is_not_released(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("WHERRY_CHECKPOINTS", str(tmp_path / "no folder"))
    with pytest.raises(FileAccessError):
        release(files, checkpoint=tmp_path / "checkpoint.json")
    with store(tmp_path) as ledger:
        assert ledger.releases() == ()


def test_whatever_a_mirror_answers_the_release_stands(
    files: RunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def odd(address: str) -> None:
        raise KeyError(f"items of {address}")

    monkeypatch.setenv("WHERRY_MIRRORS", "kubeflow:https://ann:hunter2@registry.example")
    monkeypatch.setattr("wherry.release.run.open_mirror", odd)
    assert release(files).aliases == (CHAMPION,)
    told = capsys.readouterr().err
    assert "not mirrored: E_INTERNAL" in told and "hunter2" not in told
