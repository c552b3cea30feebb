"""What the release store promises: versions, aliases, deployments, and nothing without a row."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import NAME, candidate
from tests.postgres import Postgres
from wherry.contracts import Blessing, Deployment, Release, digest_bytes, digest_record
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    GateRefusedError,
    MissingError,
    SettingsError,
    StoreError,
)
from wherry.ledger import CHAMPION, PREVIOUS, Candidate, Ledger


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.local)])
def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ledger]:
    """An empty store, in each database."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        monkeypatch.setenv("WHERRY_STORE", server.new_database())
    with Ledger.open(tmp_path / ".wherry") as opened:
        yield opened


@pytest.fixture
def made(ledger: Ledger, tmp_path: Path) -> list[Release]:
    """Three registered versions."""
    return [ledger.register(candidate(ledger, tmp_path, b)) for b in (b"one", b"two", b"three")]


def rows(ledger: Ledger) -> int:
    """How many audit rows there are."""
    return ledger.verify().rows


def promote(ledger: Ledger, version: int, generation: int) -> int:
    """Points the champion at a version."""
    return ledger.switch(
        CHAMPION, NAME, version, expected_generation=generation, reason="it is better"
    )


def deployment(release: Release, generation: int, url: str = "http://127.0.0.1:8080") -> Deployment:
    """A healthy local deployment."""
    return Deployment(
        release.name, release.version, release.digest, "local", url, generation, healthy=True
    )


def test_versions_count_from_one_for_each_name(ledger: Ledger, tmp_path: Path) -> None:
    first = ledger.register(candidate(ledger, tmp_path, b"one"))
    second = ledger.register(candidate(ledger, tmp_path, b"two"))
    other = ledger.register(candidate(ledger, tmp_path, b"one", name="other"))
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert ledger.releases() == (first, second, other)
    assert ledger.releases("other") == (other,)


def test_registering_again_gives_the_same_version_and_no_row(
    ledger: Ledger, tmp_path: Path
) -> None:
    first = ledger.register(candidate(ledger, tmp_path, b"one"))
    assert ledger.register(candidate(ledger, tmp_path, b"one")) == first
    assert rows(ledger) == 1


def test_a_version_keeps_its_evidence(ledger: Ledger, tmp_path: Path) -> None:
    wanted = candidate(ledger, tmp_path, b"one")
    release = ledger.register(wanted)
    assert ledger.blessing_of(NAME, 1) == wanted.blessing
    assert (ledger.scores_of(NAME, 1, "tuned"), ledger.scores_of(NAME, 1)) == wanted.scores
    assert release.lineage == wanted.lineage
    with pytest.raises(MissingError, match=r"no scores of 'base'.*tuned, quantized"):
        ledger.scores_of(NAME, 1, "base")


def test_a_switch_moves_the_alias_and_leaves_previous_behind(
    ledger: Ledger, made: list[Release]
) -> None:
    assert promote(ledger, 1, 0) == 1
    assert ledger.alias(NAME, PREVIOUS) is None
    assert promote(ledger, 2, 1) == 2
    champion, previous = ledger.alias(NAME, CHAMPION), ledger.alias(NAME, PREVIOUS)
    assert champion and (champion.version, champion.generation) == (2, 2)
    assert previous and (previous.version, previous.generation) == (1, 1)
    assert ledger.find(NAME, 2).aliases == (CHAMPION,)
    live = ledger.release_at_alias(NAME, CHAMPION)
    assert live and live.digest == made[1].digest
    assert ledger.release_at_alias(NAME, "challenger") is None


def test_a_switch_from_a_stale_generation_is_a_conflict_that_changes_nothing(
    ledger: Ledger, made: list[Release]
) -> None:
    promote(ledger, 1, 0)
    before = rows(ledger)
    seen = ledger.alias(NAME, CHAMPION)
    for stale in (0, 2):
        with pytest.raises(ConflictError, match=f"generation 1 .version 1., expected {stale}"):
            promote(ledger, 2, stale)
    assert ledger.alias(NAME, CHAMPION) == seen
    assert rows(ledger) == before


def test_a_switch_to_where_the_alias_is_changes_nothing(
    ledger: Ledger, made: list[Release]
) -> None:
    promote(ledger, 1, 0)
    before = rows(ledger)
    assert promote(ledger, 1, 1) == 1
    assert rows(ledger) == before


def test_a_retry_with_the_same_key_is_known(ledger: Ledger, made: list[Release]) -> None:
    def switch(version: int, key: str) -> int:
        return ledger.switch(
            CHAMPION, NAME, version, expected_generation=0, reason="first", key=key
        )

    assert switch(1, "run-7") == 1
    promote(ledger, 2, 1)
    before = rows(ledger)
    assert switch(1, "run-7") == 1
    with pytest.raises(ConflictError, match="'run-7' was used for another change, audit row 4"):
        switch(3, "run-7")
    live = ledger.release_at_alias(NAME, CHAMPION)
    assert live and live.version == 2
    assert rows(ledger) == before


def test_an_unknown_version_or_alias_name_is_refused(ledger: Ledger, made: list[Release]) -> None:
    with pytest.raises(MissingError, match="no version 9, only 1, 2, 3"):
        promote(ledger, 9, 0)
    with pytest.raises(SettingsError, match=r"'\.\./x'"):
        ledger.switch("../x", NAME, 1, expected_generation=0, reason="try")
    with pytest.raises(SettingsError, match="takes a reason"):
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason=" ")


def test_an_alias_never_points_at_a_file_that_is_gone_or_changed(
    ledger: Ledger, made: list[Release], tmp_path: Path
) -> None:
    gone = tmp_path / made[0].uri.removeprefix("file:")
    gone.unlink()
    with pytest.raises(MissingError, match="not in the artifact store"):
        promote(ledger, 1, 0)
    changed = tmp_path / made[1].uri.removeprefix("file:")
    changed.chmod(0o644)
    changed.write_bytes(b"tow")
    with pytest.raises(DigestError, match="expected sha256"):
        promote(ledger, 2, 0)
    assert ledger.alias(NAME, CHAMPION) is None


@pytest.mark.parametrize(
    "name", ["", "UPPER", "../up", "a b", "new\nline", "\x1b[31mred", "a" * 64]
)
def test_a_name_that_is_no_dns_label_is_refused(ledger: Ledger, tmp_path: Path, name: str) -> None:
    wanted = replace(candidate(ledger, tmp_path, b"one"), name=name)
    with pytest.raises(SettingsError, match="no DNS label"):
        ledger.register(wanted)


def rebound(wanted: Candidate, blessing: Blessing) -> Candidate:
    """The candidate with another blessing, the lineage naming it."""
    lineage = replace(wanted.lineage, blessing_digest=digest_record(blessing))
    return replace(wanted, blessing=blessing, lineage=lineage)


def test_an_unblessed_digest_is_unreachable(ledger: Ledger, tmp_path: Path) -> None:
    wanted = candidate(ledger, tmp_path, b"one")
    failed = replace(wanted.blessing.checks[0], passed=False, reason="accuracy is 41%")
    for unfit, told in (
        (replace(wanted.blessing, passed=False, checks=(failed,)), "accuracy is 41%"),
        (replace(wanted.blessing, checks=(failed,)), "accuracy is 41%"),
        (replace(wanted.blessing, passed=False), "says that it did not pass"),
        (replace(wanted.blessing, checks=()), "not judged by any check"),
    ):
        with pytest.raises(GateRefusedError, match=told):
            ledger.register(rebound(wanted, unfit))
        with pytest.raises(GateRefusedError, match=told):
            ledger.register_and_switch(
                rebound(wanted, unfit), CHAMPION, expected_generation=0, reason="try"
            )
    assert (ledger.releases(), rows(ledger)) == ((), 0)


def test_a_blessing_of_another_file_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    one, two = (candidate(ledger, tmp_path, content) for content in (b"one", b"two"))
    with pytest.raises(DigestError, match="the blessing's model"):
        ledger.register(rebound(one, two.blessing))
    with pytest.raises(DigestError, match="the scores' model"):
        ledger.register(replace(one, scores=two.scores))
    with pytest.raises(DigestError, match="the lineage's blessing"):
        ledger.register(replace(one, blessing=replace(one.blessing, champion_digest=two.digest)))
    with pytest.raises(MissingError, match="no scores of 'quantized'"):
        ledger.register(replace(one, scores=one.scores[:1]))
    assert ledger.releases() == ()


def test_register_and_switch_is_one_change(ledger: Ledger, tmp_path: Path) -> None:
    first = ledger.register_and_switch(
        candidate(ledger, tmp_path, b"one"), CHAMPION, expected_generation=0, reason="blessed"
    )
    assert (first.version, first.aliases) == (1, (CHAMPION,))
    with pytest.raises(ConflictError):
        ledger.register_and_switch(
            candidate(ledger, tmp_path, b"two"), CHAMPION, expected_generation=0, reason="late"
        )
    assert [release.version for release in ledger.releases()] == [1]


def test_without_its_audit_row_no_change_happens(tmp_path: Path) -> None:
    def broken() -> str:
        raise OSError("no entropy")

    with Ledger.open(tmp_path / ".wherry", new_id=broken) as ledger:
        release = ledger.register(candidate(ledger, tmp_path, b"one"))
        with pytest.raises(OSError, match="no entropy"):
            promote(ledger, 1, 0)
        with pytest.raises(OSError, match="no entropy"):
            ledger.record_deployment(deployment(release, 0))
        assert ledger.alias(NAME, CHAMPION) is None
        assert ledger.deployments() == ()
        assert ledger.verify().ok


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)  # a server's: test_ledger_database
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET record = '{}'",
        "DELETE FROM versions WHERE version = 3",
        "UPDATE audit SET record = '{}'",
        "DELETE FROM audit",
        "UPDATE aliases SET version = 2",
        "UPDATE aliases SET generation = generation - 1",
        "DELETE FROM aliases",
        "INSERT INTO aliases VALUES ('icd10-triage', 'prod', 9, 1)",
        "DELETE FROM deployments",
        "UPDATE deployments SET generation = 9",
    ],
)
def test_the_tables_themselves_refuse_to_be_rewritten(
    ledger: Ledger, made: list[Release], tmp_path: Path, statement: str
) -> None:
    promote(ledger, 1, 0)
    ledger.record_deployment(deployment(made[0], 1))
    with sqlite3.connect(tmp_path / ".wherry" / "ledger.db", isolation_level=None) as other:
        other.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(statement)
    assert ledger.verify().ok


def test_an_alias_to_nowhere_is_refused_by_the_tables(ledger: Ledger, made: list[Release]) -> None:
    with (
        pytest.raises(StoreError, match="(?i)foreign key"),
        ledger._tables.writing(),
    ):
        ledger._tables.set_alias(NAME, "prod", 99)
    assert ledger.alias(NAME, "prod") is None


def test_a_deployment_is_recorded_once(ledger: Ledger, made: list[Release]) -> None:
    promote(ledger, 1, 0)
    ledger.record_deployment(deployment(made[0], 1))
    before = rows(ledger)
    ledger.record_deployment(deployment(made[0], 1))
    assert rows(ledger) == before
    assert ledger.deployments(NAME) == (deployment(made[0], 1),)
    assert ledger.deployments("other") == ()


def test_no_row_of_data_stays_with_a_deployment(ledger: Ledger, made: list[Release]) -> None:
    promote(ledger, 1, 0)
    for _ in range(2):
        ledger.record_deployment(replace(deployment(made[0], 1), example='{"text": "Ann Smith"}'))
    assert [one.example for one in ledger.deployments()] == [""]


def test_what_could_not_be_read_again_is_never_written(ledger: Ledger, made: list[Release]) -> None:
    promote(ledger, 1, 0)
    before = rows(ledger)
    odd: Any = "another cloud"
    with pytest.raises(FormatError, match="another cloud"):
        ledger.record_deployment(replace(deployment(made[0], 1), target=odd))
    assert rows(ledger) == before
    assert ledger.deployments() == ()


def test_an_older_deployment_never_overwrites_a_newer_one(
    ledger: Ledger, made: list[Release]
) -> None:
    promote(ledger, 1, 0)
    promote(ledger, 2, 1)
    ledger.record_deployment(deployment(made[1], 2))
    with pytest.raises(ConflictError, match=r"generation 2 .version 2. was deployed since"):
        ledger.record_deployment(deployment(made[0], 1))
    assert [live.version for live in ledger.deployments()] == [2]


def test_a_deployment_that_the_alias_never_asked_for_is_refused(
    ledger: Ledger, made: list[Release]
) -> None:
    promote(ledger, 1, 0)
    with pytest.raises(ConflictError, match="champion is at generation 1, version 1"):
        ledger.record_deployment(deployment(made[0], 2))
    with pytest.raises(ConflictError, match="champion is at generation 1, version 1"):
        ledger.record_deployment(deployment(made[1], 1))
    with pytest.raises(DigestError):
        ledger.record_deployment(replace(deployment(made[0], 1), digest=digest_bytes(b"x")))
    assert ledger.deployments() == ()


def test_a_store_outlives_its_process_and_asking_makes_none(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    assert not Ledger.exists(state)
    assert not state.exists()
    with Ledger.open(state) as ledger:
        ledger.register(candidate(ledger, tmp_path, b"one"))
    assert Ledger.exists(state)
    with Ledger.open(state) as again:
        assert [release.version for release in again.releases()] == [1]


def test_the_store_can_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_STORE", f"sqlite:///{tmp_path}/other.db")
    with Ledger.open(tmp_path / ".wherry"):
        assert (tmp_path / "other.db").is_file()
        assert not (tmp_path / ".wherry" / "ledger.db").exists()


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database, but long enough to look like one" * 40)
    with pytest.raises(StoreError, match=r"ledger.db does not hold together"):
        Ledger.open(tmp_path)


def test_a_row_says_who_did_what_when_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def clock() -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)

    with Ledger.open(tmp_path / ".wherry", clock=clock) as ledger:
        release = ledger.register(candidate(ledger, tmp_path, b"one"))
        promote(ledger, 1, 0)
        ledger.record_deployment(deployment(release, 1))
        registered, promoted, deployed = ledger.audit()
        assert [row.seq for row in ledger.audit(after=2)] == [3]
    assert (registered.action, promoted.action, deployed.action) == (
        "register",
        "promote",
        "deploy",
    )
    assert registered.ts == release.created == "2026-03-01T12:00:00.000000+00:00"
    assert registered.actor and registered.actor.id and registered.actor.kind == "human"
    assert {entry.role for entry in registered.inputs} == {"data", "base", "adapter"}
    assert registered.gate and registered.gate.policy_digest == release.lineage.policy_digest
    assert [m.name for m in registered.metrics if m.slice] == []
    assert (promoted.reason, promoted.moves[0].generation) == ("it is better", 1)
    assert deployed.deploy and deployed.deploy.url == "http://127.0.0.1:8080"


def test_a_pod_is_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with Ledger.open(tmp_path / ".wherry") as ledger:
        ledger.register(candidate(ledger, tmp_path, b"one"))
        (row,) = ledger.audit()
    assert row.actor and row.actor.kind == "service" and "@" in row.actor.id
