"""What goes live, what goes back, and who must agree: on the real store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes.logs import rewrite
from tests.fakes.people import LONG_AGO, keyring, signer_of
from tests.fakes.releases import NAME, approve, candidate, judged, promote, roll_back, unsigned
from wherry.contracts import Deployment, Release
from wherry.contracts.errors import (
    ApprovalError,
    ConflictError,
    DigestError,
    MissingError,
    RoleError,
    SettingsError,
    SignatureError,
    SigningKeyError,
    StoreError,
    WithdrawnError,
)
from wherry.ledger import CHALLENGER, CHAMPION, PREVIOUS, Actor, Ledger, alias_moves, pointed_at
from wherry.ledger.records import Candidate
from wherry.release import moves
from wherry.signing import BLESSING, KeyFolder

ANA = Actor("ana", "human", "os-user")
BO = Actor("bo", "human", "os-user")
CI = Actor("ci-runner", "service", "os-user")
Add = Callable[[str], Release]
By = Callable[[Actor], Ledger]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A store that Ana works in."""
    with Ledger.open(tmp_path / ".wherry", actor=ANA) as opened:
        yield opened


@pytest.fixture
def add(ledger: Ledger, tmp_path: Path) -> Add:
    """Registers a version of some content."""
    return lambda content: ledger.register(candidate(ledger, tmp_path, content.encode()))


def live(ledger: Ledger, release: Release, *, healthy: bool = True) -> None:
    """Promotes a version and records that it was deployed."""
    generation = promote(ledger, release.version, reason="better")
    address = "http://127.0.0.1:8080"
    ledger.record_deployment(
        Deployment(*(NAME, release.version, release.digest, "local", address, generation, healthy))
    )


def asked(made: Candidate, *parts: str) -> Candidate:
    """The same candidate under a policy that asks for approvals."""
    return judged(made, required_approvals=parts)


def follow(ledger: Ledger, version: int, generation: int) -> None:
    """Records that what serves followed the champion."""
    release = ledger.find(NAME, version)
    address = "http://127.0.0.1:8080"
    ledger.record_deployment(
        Deployment(NAME, version, release.digest, "local", address, generation, True)
    )


@pytest.fixture
def by(ledger: Ledger, tmp_path: Path) -> Iterator[By]:
    """The same store in another person's hands."""
    with ExitStack() as opened:
        yield lambda actor: opened.enter_context(Ledger.open(tmp_path / ".wherry", actor=actor))


def champion(ledger: Ledger) -> int:
    at = ledger.alias(NAME, CHAMPION)
    return at.version if at else 0


def test_a_rollback_goes_to_the_last_version_that_was_healthy(ledger: Ledger, add: Add) -> None:
    first, second, third = add("1"), add("2"), add("3")
    live(ledger, first)
    live(ledger, second, healthy=False)
    live(ledger, third)
    assert roll_back(ledger, reason="answers nonsense").version == 1
    assert ledger.verify().ok
    last = list(ledger.audit())[-1]
    assert (last.action, last.reason, last.previous and last.previous.version) == (
        "rollback",
        "answers nonsense",
        3,
    )


def test_without_a_recorded_deployment_it_goes_to_the_previous_one(
    ledger: Ledger, add: Add
) -> None:
    for release in (add("1"), add("2")):
        promote(ledger, release.version, reason="better")
    assert roll_back(ledger, reason="worse").version == 1


def test_a_corrupt_target_is_refused_and_the_next_one_named(
    ledger: Ledger, add: Add, tmp_path: Path
) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    path = tmp_path / ledger.find(NAME, 2).uri.removeprefix("file:")
    path.chmod(0o600)
    path.write_bytes(b"x")
    with pytest.raises(DigestError, match="cannot be rolled back to") as caught:
        roll_back(ledger, reason="worse")
    assert "--to 1" in caught.value.remedy
    assert champion(ledger) == 3
    assert roll_back(ledger, reason="worse", to=1).version == 1


def test_a_named_target_that_is_not_good_names_the_next_one(ledger: Ledger, add: Add) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    ledger.withdraw(NAME, 1, "revoke", reason="unfit")
    with pytest.raises(WithdrawnError) as caught:
        roll_back(ledger, to=1)
    assert "take the next one that is good: --to 2" in caught.value.remedy
    assert champion(ledger) == 3


def test_the_next_target_that_is_named_is_good_itself(
    ledger: Ledger, add: Add, tmp_path: Path
) -> None:
    for content in ("1", "2", "3", "4"):
        live(ledger, add(content))
    for version in (2, 3):
        (tmp_path / ledger.find(NAME, version).uri.removeprefix("file:")).unlink()
    with pytest.raises(MissingError, match="version 3 cannot be rolled back to") as caught:
        roll_back(ledger)
    assert "Restore it from a backup" in caught.value.remedy
    assert "--to 1" in caught.value.remedy
    assert roll_back(ledger, to=1).version == 1


def test_after_the_gates_key_was_revoked_a_version_that_is_upheld_comes_back(
    ledger: Ledger, tmp_path: Path
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.init("gate", LONG_AGO)
    for content in (b"1", b"2", b"3"):
        made = candidate(ledger, tmp_path, content, signer=keys.signer())
        release = ledger.register(made)
        generation = moves.promote(
            ledger, NAME, release.version, keyring=keys.keyring(), reason="ok"
        )
        follow(ledger, release.version, generation)
    keys.revoke(keys.keyring().current, "stolen", datetime.now(UTC))
    with pytest.raises(SigningKeyError, match="was revoked .* stolen") as caught:
        moves.roll_back(ledger, NAME, keyring=keys.keyring(), reason="answers nonsense")
    assert "wherry keys uphold" in caught.value.remedy
    assert "no other that is good" in caught.value.remedy
    assert champion(ledger) == 3
    keys.uphold(
        ledger.blessing_of(NAME, 1),
        BLESSING,
        "v1",
        "of last year",
        datetime.now(UTC),
        came=LONG_AGO,
    )
    with pytest.raises(SigningKeyError) as caught:
        moves.roll_back(ledger, NAME, keyring=keys.keyring(), reason="answers nonsense")
    assert "--to 1" in caught.value.remedy
    back = moves.roll_back(ledger, NAME, keyring=keys.keyring(), reason="answers nonsense", to=1)
    assert back.version == champion(ledger) == 1


def test_a_missing_target_is_refused(ledger: Ledger, add: Add, tmp_path: Path) -> None:
    for content in ("1", "2"):
        live(ledger, add(content))
    (tmp_path / ledger.find(NAME, 1).uri.removeprefix("file:")).unlink()
    with pytest.raises(MissingError, match="cannot be rolled back to") as caught:
        roll_back(ledger, reason="worse")
    assert "there is no other" in caught.value.remedy
    assert champion(ledger) == 2


def test_a_revoked_version_never_comes_back(ledger: Ledger, add: Add, by: By) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    ledger.withdraw(NAME, 2, "revoke", reason="leaks")
    assert roll_back(ledger, reason="worse").version == 1
    with pytest.raises(WithdrawnError, match="v2 is revoked"):
        promote(ledger, 2, reason="again")
    with pytest.raises(WithdrawnError, match="v2 is revoked"):
        approve(by(BO), 2, meaning="reviewed")
    assert ledger.verify().ok


def test_the_champion_can_be_neither_revoked_nor_retired(ledger: Ledger, add: Add) -> None:
    live(ledger, add("1"))
    for action in ("revoke", "retire"):
        with pytest.raises(WithdrawnError, match="is champion"):
            ledger.withdraw(NAME, 1, action, reason="unfit")  # type: ignore[arg-type]


def test_what_a_rollback_needs_is_not_retired(ledger: Ledger, add: Add) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    with pytest.raises(WithdrawnError, match="what a rollback would choose"):
        moves.retire(ledger, NAME, 2, reason="old")
    assert moves.retire(ledger, NAME, 1, reason="old").state == "retired"
    rows = list(ledger.audit())
    assert moves.retire(ledger, NAME, 1, reason="old").state == "retired"
    assert list(ledger.audit()) == rows
    assert ledger.find(NAME, 1).state == "retired"
    assert ledger.verify().ok


def test_a_change_takes_a_reason(ledger: Ledger, add: Add) -> None:
    live(ledger, add("1"))
    live(ledger, add("2"))
    with pytest.raises(SettingsError, match="takes a reason"):
        roll_back(ledger, reason=" ")
    with pytest.raises(SettingsError, match="takes a reason"):
        ledger.withdraw(NAME, 1, "revoke", reason="")


def test_a_rollback_of_what_somebody_moved_is_a_conflict(ledger: Ledger, add: Add) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    with pytest.raises(ConflictError):
        roll_back(ledger, reason="worse", seen=2)
    assert champion(ledger) == 3


def test_nothing_to_go_back_to_is_told(ledger: Ledger, add: Add) -> None:
    with pytest.raises(MissingError, match="no champion"):
        roll_back(ledger, reason="worse")
    live(ledger, add("1"))
    with pytest.raises(MissingError, match="no version to go back to"):
        roll_back(ledger, reason="worse")


def test_an_unapproved_version_is_unreachable(ledger: Ledger, tmp_path: Path, by: By) -> None:
    made = asked(candidate(ledger, tmp_path, b"1"), "medical", "release")
    version = ledger.register(made).version
    assert promote(ledger, version, alias=CHALLENGER, reason="on trial") == 1
    for alias in (CHAMPION, "prod"):
        with pytest.raises(ApprovalError, match="medical, release"):
            promote(ledger, version, alias=alias, reason="now")
    bo = by(BO)
    approve(bo, version, meaning="clinically reviewed", role="medical")
    # One person is one approval, whatever parts they take, and whatever name they sign with.
    for who in ("bo", "cy"):
        with pytest.raises(ApprovalError, match="'bo' approved"):
            approve(bo, version, meaning="and released", role="release", who=who)
    with pytest.raises(ApprovalError, match="the approval of release"):
        promote(ledger, version, reason="now")
    cy = by(Actor("cy", "human", "os-user"))
    approve(cy, version, meaning="released for use", role="release")
    assert ledger.missing_approval(NAME, version) == ""
    promote(ledger, version, reason="approved")
    assert champion(ledger) == version
    assert ledger.verify().ok


def test_nobody_approves_what_is_their_own(ledger: Ledger, tmp_path: Path, by: By) -> None:
    version = ledger.register(asked(candidate(ledger, tmp_path, b"1"), "release")).version
    with pytest.raises(ApprovalError, match="'ana' made"):
        approve(ledger, version, meaning="fine")
    with pytest.raises(ApprovalError, match="is a service"):
        approve(by(CI), version, meaning="fine")
    assert ledger.approvals(NAME, version) == ()


def test_where_nobody_knows_who_made_a_version_nobody_approves_it(
    ledger: Ledger, tmp_path: Path, by: By
) -> None:
    ledger.register(asked(candidate(ledger, tmp_path, b"1"), "release"))
    rewrite(tmp_path / ".wherry" / "ledger.db", "UPDATE audit SET event_id = 'x'")
    with pytest.raises(StoreError, match="no audit row says who made"):
        approve(by(BO), 1)
    assert ledger.approvals(NAME, 1) == ()


def test_an_approval_given_twice_is_one(ledger: Ledger, tmp_path: Path, by: By) -> None:
    version = ledger.register(asked(candidate(ledger, tmp_path, b"1"), "release")).version
    bo = by(BO)
    first = approve(bo, version, meaning="reviewed")
    assert approve(bo, version, meaning="reviewed again") == first
    assert [row.action for row in ledger.audit()] == ["register", "approve"]
    assert first.role == "release"
    with pytest.raises(ApprovalError, match="'boss' is none of them"):
        approve(by(BO), version, meaning="fine", role="boss")
    ledger.withdraw(NAME, version, "revoke", reason="leaks")
    with pytest.raises(WithdrawnError, match="is revoked"):
        approve(bo, version, meaning="reviewed")


def test_the_roles_policy_is_held_against_each_change(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    state.mkdir()
    (state / "roles.yaml").write_text(
        "register: [ana]\napprove: []\npromote: [bo]\nrollback: ['*']\ndeploy: ['*']\n"
        "retire: [bo]\nrevoke: [bo]\nwaive: []\n"
    )
    with Ledger.open(state, actor=ANA) as ana, Ledger.open(state, actor=BO) as bo:
        for content in (b"1", b"2"):
            ana.register(candidate(ana, tmp_path, content))
        with pytest.raises(RoleError, match="'ana' may not promote: the roles policy names bo"):
            promote(ana, 1, reason="better")
        with pytest.raises(RoleError, match="'bo' may not register"):
            bo.register(candidate(bo, tmp_path, b"3"))
        with pytest.raises(RoleError, match="nobody"):
            approve(bo, 1, meaning="fine")
        for version in (1, 2):
            promote(bo, version, reason="better")
        assert roll_back(ana, reason="worse").version == 1


def test_a_roles_policy_that_forgets_a_change_is_refused(tmp_path: Path) -> None:
    state = tmp_path / ".wherry"
    state.mkdir()
    (state / "roles.yaml").write_text("promote: [bo]\n")
    with pytest.raises(SettingsError, match="roles.yaml|Roles"):
        Ledger.open(state)


def test_the_ledger_says_what_was_live_at_a_moment(tmp_path: Path) -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    with Ledger.open(tmp_path / ".wherry", actor=ANA, clock=lambda: now[0]) as ledger:
        for content in (b"1", b"2"):
            ledger.register(candidate(ledger, tmp_path, content))
        promote(ledger, 1, reason="first")
        now[0] = datetime(2026, 3, 5, tzinfo=UTC)
        promote(ledger, 2, reason="second")
        now[0] = datetime(2026, 3, 4, tzinfo=UTC)  # a clock that was set back
        roll_back(ledger, reason="worse")
        history = alias_moves(ledger.audit(), NAME, CHAMPION)
        previous = alias_moves(ledger.audit(), NAME, PREVIOUS)
    assert [(one.version, one.skewed) for one in history] == [(1, False), (2, False), (1, True)]
    assert [one.version for one in previous] == [1, 2]
    assert history[0].until == history[1].ts

    def at(day: int) -> int:
        found = pointed_at(history, datetime(2026, 3, day, 12, tzinfo=UTC))
        return found.version if found else 0

    assert pointed_at(history, datetime(2026, 2, 1, tzinfo=UTC)) is None
    assert [at(day) for day in (1, 3, 6)] == [1, 1, 1]
    # Between the two: the row of the higher number counts.
    assert at(4) == 1


def test_a_rollback_again_goes_further_back_and_never_forward(ledger: Ledger, add: Add) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    for expected in (2, 1):
        assert roll_back(ledger).version == expected
        at = ledger.alias(NAME, CHAMPION)
        assert at
        follow(ledger, expected, at.generation)
    with pytest.raises(MissingError, match="no version to go back to"):
        roll_back(ledger)
    live(ledger, ledger.find(NAME, 3))  # somebody mended it, and promotes it again
    assert roll_back(ledger).version == 1


def test_a_rollback_that_was_killed_before_its_deployment_is_finished_not_repeated(
    ledger: Ledger, add: Add
) -> None:
    for content in ("1", "2", "3"):
        live(ledger, add(content))
    assert roll_back(ledger).version == 2
    rows = list(ledger.audit())
    assert roll_back(ledger).version == 2
    assert list(ledger.audit()) == rows


def test_a_rollback_is_no_way_round_a_promotion(ledger: Ledger, add: Add) -> None:
    live(ledger, add("1"))
    live(ledger, add("2"))
    add("3")
    with pytest.raises(ConflictError, match="never the champion"):
        roll_back(ledger, to=3)
    assert champion(ledger) == 2


def test_what_no_trusted_key_vouches_for_goes_nowhere(ledger: Ledger, tmp_path: Path) -> None:
    ledger.register(unsigned(candidate(ledger, tmp_path, b"1")))
    with pytest.raises(SignatureError, match="is not signed"):
        promote(ledger, 1)
    ledger.register(judged(candidate(ledger, tmp_path, b"2"), signer_of("mallory")))
    with pytest.raises(SigningKeyError, match="not trusted"):
        promote(ledger, 2)
    assert champion(ledger) == 0


def test_an_approval_of_a_revoked_key_is_none_and_blocks_nobody(
    ledger: Ledger, tmp_path: Path, by: By
) -> None:
    version = ledger.register(asked(candidate(ledger, tmp_path, b"1"), "release")).version
    approve(by(BO), version)
    trusted = keyring().revoked(signer_of("bo").key.id, "lost", datetime(2020, 1, 2, tzinfo=UTC))
    with pytest.raises(ApprovalError, match="approval of release"):
        moves.promote(ledger, NAME, version, keyring=trusted, reason="now")
    cy = by(Actor("cy", "human", "os-user"))
    moves.approve(
        *(cy, NAME, version),
        meaning="reviewed",
        role="",
        signer=signer_of("cy"),
        keyring=trusted,
    )
    moves.promote(ledger, NAME, version, keyring=trusted, reason="now")
    assert champion(ledger) == version


def test_a_strangers_key_approves_nothing(ledger: Ledger, tmp_path: Path, by: By) -> None:
    version = ledger.register(asked(candidate(ledger, tmp_path, b"1"), "release")).version
    with pytest.raises(SigningKeyError, match="not trusted"):
        approve(by(BO), version, who="mallory")
    assert ledger.approvals(NAME, version) == ()
