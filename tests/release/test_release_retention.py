"""What a retention policy gives up, what it never does, and what is left of a version then."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.people import keyring
from tests.fakes.releases import NAME, approve, candidate, promote, roll_back
from tests.postgres import Postgres
from wherry.cli import cli
from wherry.contracts import ArtifactRef, Deployment
from wherry.contracts.errors import MissingError, RoleError, SettingsError, WithdrawnError
from wherry.ledger import CHALLENGER, CHAMPION, Actor, Ledger
from wherry.release import moves, retention
from wherry.release.retention import Keep, Retention

ANA = Actor("ana", "human", "os-user")
BO = Actor("bo", "human", "os-user")
AGED = 400
"""Days since the first version was registered; each later one is forty days younger."""
ONE = Retention(Keep(versions=1, days=30))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.local)])
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a workspace, its store in each database."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        monkeypatch.setenv("WHERRY_STORE", server.new_database())
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    return tmp_path / ".wherry"


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    """A store with six versions, none of them live."""
    begun = datetime.now(UTC) - timedelta(days=AGED, hours=1)
    clock = [begun]
    with Ledger.open(state, actor=ANA, clock=lambda: clock[0]) as past:
        for number in range(6):
            clock[0] = begun + timedelta(days=40 * number)
            past.register(candidate(past, state.parent, f"file {number + 1}".encode()))
    with Ledger.open(state, actor=ANA) as opened:
        yield opened


def given_up(ledger: Ledger, policy: Retention) -> list[int]:
    return [one.release.version for one in retention.judge(ledger, policy) if one.given_up]


def expired(ledger: Ledger) -> list[int]:
    return [one.version for one in ledger.releases(NAME) if one.expired]


def deploy(ledger: Ledger, version: int, *, promoted: bool = True) -> None:
    """Lets a version go live, as a deployment that was healthy."""
    if promoted:
        promote(ledger, version)
    at, digest = ledger.alias(NAME, CHAMPION), ledger.find(NAME, version).digest
    assert at
    ledger.record_deployment(
        Deployment(NAME, version, digest, "local", "http://127.0.0.1:1", at.generation, True)
    )


def age(state: Path) -> None:
    """Makes all files of the artifact store older than any run."""
    then = time.time() - 30 * 86400
    for path in (state / "artifacts").rglob("*"):
        os.utime(path, (then, then))


def is_there(ledger: Ledger, version: int) -> bool:
    release = ledger.find(NAME, version)
    try:
        ledger.artifacts.check_there(ArtifactRef(release.uri, release.digest, release.size))
    except MissingError:
        return False
    return True


def test_the_newest_and_the_young_keep_their_files(ledger: Ledger) -> None:
    assert given_up(ledger, Retention(Keep(1, 0))) == [1, 2, 3, 4, 5]
    assert given_up(ledger, Retention(Keep(3, 0))) == [1, 2, 3]
    assert given_up(ledger, Retention(Keep(1, AGED - 100))) == [1, 2, 3]
    assert given_up(ledger, Retention(Keep(1, AGED + 1))) == []
    assert given_up(ledger, Retention(Keep(1, 0), models={NAME: Keep(6, 0)})) == []
    found = retention.judge(ledger, Retention(Keep(2, AGED - 100)))
    assert [one.why for one in found][:1] + [one.why for one in found][3:] == [
        f"registered {AGED} days ago, 300 are kept, not one of the newest 2, needed by nothing",
        "registered 280 days ago, 300 are kept",
        "one of the newest 2",
        "one of the newest 2",
    ]


def test_what_is_needed_keeps_its_file(ledger: Ledger) -> None:
    for version in (1, 3):
        deploy(ledger, version)
    promote(ledger, 4, alias=CHALLENGER)
    promote(ledger, 5)
    policy = Retention(Keep(1, 0), hold={NAME: (2,)})
    told = {one.release.version: one.why for one in retention.judge(ledger, policy)}
    assert told[2] == "held by the policy"
    assert told[3] == "it is previous"
    assert told[4] == "it is challenger"
    assert told[5] == "it is champion"
    assert given_up(ledger, policy) == [1]
    # What serves may lag behind the champion, and the last that was healthy behind both.
    deploy(ledger, 5, promoted=False)
    promote(ledger, 6)
    promote(ledger, 4)
    told = {one.release.version: one.why for one in retention.judge(ledger, policy)}
    assert told[5] == "a rollback would choose it"
    ledger.withdraw(NAME, 5, "revoke", reason="leaks")
    told = {one.release.version: one.why for one in retention.judge(ledger, policy)}
    assert told[5] == "it serves, on local"


def test_a_withdrawn_version_pushes_no_good_one_out(ledger: Ledger) -> None:
    for version in (5, 6):
        ledger.withdraw(NAME, version, "revoke", reason="leaks")
    assert given_up(ledger, Retention(Keep(2, 0))) == [1, 2, 5, 6]


def test_a_version_that_was_given_up_keeps_its_record_and_loses_its_file(
    ledger: Ledger, state: Path
) -> None:
    promote(ledger, 6)
    ledger.withdraw(NAME, 2, "revoke", reason="leaks")
    before = ledger.verify().rows
    retention.apply(ledger, Retention(Keep(3, 0)))
    assert expired(ledger) == [1, 2, 3]
    states = [ledger.find(NAME, version).state for version in (1, 2, 3, 4)]
    assert states == ["retired", "revoked", "retired", "registered"]
    rows = list(ledger.audit(before))
    assert [(row.action, row.model.version) for row in rows] == [
        ("retire", 1),
        ("revoke", 2),
        ("retire", 3),
    ]
    assert {row.retention for row in rows} == {Retention(Keep(3, 0)).digest}
    assert rows[0].reason.startswith("retention: registered 400 days ago")
    assert all(is_there(ledger, version) for version in range(1, 7)), "until it is collected"
    age(state)
    assert len(ledger.collect(older_than=timedelta(days=7), remove=True)) == 3
    assert [version for version in range(1, 7) if is_there(ledger, version)] == [4, 5, 6]
    assert ledger.verify().ok
    assert ledger.scores_of(NAME, 1).model_digest == ledger.find(NAME, 1).digest
    assert ledger.blessing_of(NAME, 1).passed
    assert len(ledger.releases(NAME)) == 6


def test_applying_it_again_changes_nothing(ledger: Ledger) -> None:
    assert retention.apply(ledger, ONE)
    rows = ledger.verify().rows
    assert given_up(ledger, ONE) == []
    assert [one.release.version for one in retention.apply(ledger, ONE)] == [6]
    assert ledger.verify().rows == rows


def test_what_was_given_up_never_comes_back(ledger: Ledger, state: Path) -> None:
    for version in (1, 2, 3, 5, 6):
        deploy(ledger, version)
    retention.apply(ledger, Retention(Keep(1, 0)))
    assert expired(ledger) == [1, 2, 3, 4]
    age(state)
    ledger.collect(older_than=timedelta(days=7), remove=True)
    told = "v1 is retired, and its file was given up by the retention policy"
    for alias in (CHAMPION, CHALLENGER):
        with pytest.raises(WithdrawnError, match=told):
            promote(ledger, 1, alias=alias)
    with pytest.raises(WithdrawnError, match=f"cannot be rolled back to: .*{told}"):
        roll_back(ledger, to=1)
    with Ledger.open(state, actor=BO) as bo, pytest.raises(WithdrawnError, match=told):
        approve(bo, 1)
    with pytest.raises(WithdrawnError, match="is champion"):
        moves.retire(ledger, NAME, 6, reason="old")
    again = candidate(ledger, state.parent, b"file 1")
    at = ledger.alias(NAME, CHAMPION)
    assert at
    with pytest.raises(WithdrawnError, match=told):
        ledger.register_and_switch(
            again, CHAMPION, expected_generation=at.generation, reason="again"
        )
    assert ledger.alias(NAME, CHAMPION) == at
    assert roll_back(ledger).version == 5
    assert ledger.withdraw(NAME, 1, "revoke", reason="leaks too").expired
    assert ledger.verify().ok


def test_a_file_that_another_model_has_too_stays(ledger: Ledger, state: Path) -> None:
    ledger.register(candidate(ledger, state.parent, b"file 1", name="other"))
    retention.apply(ledger, Retention(Keep(1, 0), models={"other": Keep(1, 0)}))
    age(state)
    ledger.collect(older_than=timedelta(days=7), remove=True)
    assert expired(ledger) == [1, 2, 3, 4, 5]
    assert is_there(ledger, 1)
    assert not is_there(ledger, 2)
    with pytest.raises(WithdrawnError, match="given up"):
        promote(ledger, 1)


def test_one_that_is_needed_by_now_is_given_up_by_nobody(ledger: Ledger, state: Path) -> None:
    release = ledger.find(NAME, 1)
    promote(ledger, 1, alias=CHALLENGER)
    with pytest.raises(WithdrawnError, match="v1 is challenger"):
        ledger.expire(lambda: [(ledger.find(NAME, 2), "old"), (release, "old")], ONE.digest)
    assert expired(ledger) == []
    assert ledger.verify().ok


def test_who_may_not_retire_may_not_give_up(ledger: Ledger, state: Path) -> None:
    others = "\n".join(
        f"{change}: ['*']"
        for change in ("register", "approve", "promote", "rollback", "deploy", "revoke", "waive")
    )
    (state / "roles.yaml").write_text(f"{others}\nretire: [ana]\n")
    with Ledger.open(state, actor=BO) as bo:
        with pytest.raises(RoleError, match="'bo' may not retire"):
            retention.apply(bo, ONE)
        assert given_up(bo, ONE) == [1, 2, 3, 4, 5]
    assert expired(ledger) == []


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Retention(Keep(1, 0), hold={NAME: (7,)}), f"{NAME}:7"),
        (Retention(Keep(1, 0), hold={"icd10-triag": (1,)}), "icd10-triag"),
        (Retention(Keep(1, 0), models={"icd10": Keep(9, 0)}), "icd10"),
    ],
)
@pytest.mark.parametrize("state", ["sqlite"], indirect=True)
def test_a_mistyped_name_gives_nothing_up(ledger: Ledger, policy: Retention, told: str) -> None:
    with pytest.raises(SettingsError, match=f"names '{told}'"):
        retention.apply(ledger, policy)
    assert expired(ledger) == []


@pytest.mark.parametrize("state", ["sqlite"], indirect=True)
def test_a_hold_that_comes_too_late_is_told(ledger: Ledger) -> None:
    retention.apply(ledger, ONE)
    with pytest.raises(SettingsError, match=f"names '{NAME}:1', and there is no such file"):
        retention.judge(ledger, Retention(Keep(1, 30), hold={NAME: (1,)}))


@pytest.mark.parametrize("state", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hold: {}", "keep"),
        ("keep: {versions: 5}", "days"),
        ("keep: {versions: 0, days: 9}", "versions must be 1 at least"),
        ("keep: {versions: 1, days: 9, weeks: 2}", "weeks"),
        ("keep: {versions: 1, days: 9}\nholds: {}", "holds"),
        ("keep: {versions: 1, days: 9}\nmodels: {m: {version: 1, days: 2}}", "version"),
        ("[]", "no mapping"),
        ("keep: {", "cannot be read"),
    ],
)
def test_a_policy_that_is_none_is_refused(state: Path, text: str, told: str) -> None:
    state.mkdir()
    (state / "retention.yaml").write_text(text)
    with pytest.raises(SettingsError, match=told):
        retention.read_retention(state)


@pytest.mark.parametrize("state", ["sqlite"], indirect=True)
def test_a_policy_is_known_by_what_it_says(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retention.read_retention(state) is None
    state.mkdir()
    (state / "retention.yaml").write_text("keep: {versions: 5, days: 90}\nhold: {m: [1]}")
    here = retention.read_retention(state)
    other = tmp_path / "other.yaml"
    other.write_text("# the same\nhold:\n  m: [1]\nkeep:\n  days: 90\n  versions: 5\n")
    monkeypatch.setenv("WHERRY_RETENTION", str(other))
    there = retention.read_retention(state)
    assert here and there and here.digest == there.digest
    other.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        retention.read_retention(state)
    monkeypatch.delenv("WHERRY_RETENTION")
    (state / "retention.yaml").unlink()
    (state / "retention.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(SettingsError, match="cannot be read"):
        retention.read_retention(state)


def call(*words: str) -> Result:
    done = CliRunner().invoke(cli, ["models", *words], catch_exceptions=False, terminal_width=80)
    assert done.exit_code == 0, done.output
    return done


def test_the_command_shows_what_it_would_do_and_does_it_when_asked(
    ledger: Ledger, state: Path
) -> None:
    promote(ledger, 1)
    age(state)
    rows = ledger.verify().rows
    assert "retention policy" not in call("gc").output
    policy = "keep: {versions: 2, days: 30}\n"
    (state / "retention.yaml").write_text(policy)
    listed = call("gc").output
    told = " ".join(listed.split())
    assert f"{NAME}:2 0 registered 360 days ago, 30 are kept, not one of the newest 2" in told
    assert "gives up 3 of 6 version(s)" in told
    assert "wherry models gc --older-than 7d --remove" in told
    assert (ledger.verify().rows, expired(ledger)) == (rows, []), "a dry run"
    plain = json.loads(call("gc", "--json").output)
    assert plain["policy"] == Retention(Keep(2, 30)).digest
    assert [one["version"] for one in plain["versions"] if one["given_up"]] == [2, 3, 4]
    assert plain["versions"][0]["why"] == "it is champion"
    done = " ".join(call("gc", "--remove").output.split())
    assert "gave up 3 of 6 version(s)" in done
    assert "Removed 3 file(s)" in done
    assert expired(ledger) == [2, 3, 4]
    assert not is_there(ledger, 2)
    assert "retired, its file was given up" in call("show", f"{NAME}:2").output
    assert json.loads(call("show", f"{NAME}:2", "--json").output)["release"]["expired"] is True
    rows_of_list = [line for line in call().output.splitlines() if " retired " in line]
    assert len(rows_of_list) == 3
    assert "gave up 0 of 3" in " ".join(call("gc", "--remove").output.split())


def test_nothing_is_given_up_where_nothing_could_be_collected(
    ledger: Ledger, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "retention.yaml").write_text("keep: {versions: 1, days: 0}\n")
    run = CliRunner().invoke
    with pytest.raises(SettingsError, match="1:00:00 at least"):
        run(cli, ["models", "gc", "--older-than", "0h", "--remove"], catch_exceptions=False)
    assert expired(ledger) == []


def test_what_a_killed_collection_left_is_collected_by_the_next(
    ledger: Ledger, state: Path
) -> None:
    retention.apply(ledger, ONE)  # and then the process was killed
    age(state)
    (state / "retention.yaml").write_text("keep: {versions: 1, days: 30}\n")
    assert "Removed 5 file(s)" in call("gc", "--remove").output
    assert [version for version in range(1, 7) if is_there(ledger, version)] == [6]
    assert moves.promote(ledger, NAME, 6, keyring=keyring(), reason="on") == 1
