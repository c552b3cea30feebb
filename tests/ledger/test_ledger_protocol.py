"""Whatever is asked in whatever order, the store does what its model on paper does."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fakes.releases import NAME, POLICY, approve, candidate, judged, promote, roll_back
from wherry.contracts.errors import ApprovalError, ConflictError, MissingError, WithdrawnError
from wherry.ledger import CHALLENGER, CHAMPION, PREVIOUS, Actor, Ledger
from wherry.ledger.records import Candidate

PEOPLE = ("ana", "bo", "cy")
ALIASES = (CHAMPION, CHALLENGER, "prod")


@dataclass
class Version:
    """A version as the paper model has it."""

    author: str
    needs_approval: bool
    state: str = "registered"
    expired: bool = False
    approvers: set[str] = field(default_factory=set)


class Protocol(RuleBasedStateMachine):
    """Register, approve, promote, roll back, retire, revoke and expire, by three people."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.state = self.folder / ".wherry"
        self.ledgers = {
            one: Ledger.open(self.state, actor=Actor(one, "human", "os-user")) for one in PEOPLE
        }
        self.versions: dict[int, Version] = {}
        self.contents: dict[int, int] = {}
        self.aliases: dict[str, tuple[int, int]] = {}
        self.left: set[int] = set()
        """By a rollback, and not promoted since: nothing rolls back to them."""

    def teardown(self) -> None:
        for ledger in self.ledgers.values():
            ledger.close()
        shutil.rmtree(self.folder)

    @rule(who=st.sampled_from(PEOPLE), content=st.integers(0, 5), needs_approval=st.booleans())
    def register(self, who: str, content: int, needs_approval: bool) -> None:
        ledger = self.ledgers[who]
        made = candidate(ledger, self.folder, f"{content}".encode())
        known = self.contents.get(content)
        version = ledger.register(_asked(made) if needs_approval else made).version
        if known:
            assert version == known
            return
        assert version == len(self.versions) + 1
        self.contents[content] = version
        self.versions[version] = Version(who, needs_approval)

    @rule(who=st.sampled_from(PEOPLE), version=st.integers(1, 6))
    def approve(self, who: str, version: int) -> None:
        one = self.versions.get(version)
        try:
            approve(self.ledgers[who], version)
        except MissingError:
            assert one is None
        except WithdrawnError:
            assert one and one.state != "registered"
        except ApprovalError:
            assert one and one.author == who
        else:
            assert one and one.author != who and one.state == "registered"
            one.approvers.add(who)

    @rule(
        who=st.sampled_from(PEOPLE),
        version=st.integers(1, 6),
        alias=st.sampled_from(ALIASES),
        late=st.integers(0, 1),
    )
    def promote(self, who: str, version: int, alias: str, late: int) -> None:
        one, (at, generation) = self.versions.get(version), self.aliases.get(alias, (0, 0))
        seen = max(generation - late, 0)
        try:
            found = promote(self.ledgers[who], version, alias=alias, reason="because", seen=seen)
        except MissingError:
            assert one is None
        except ConflictError:
            assert seen != generation
        except WithdrawnError:
            assert one and one.state != "registered"
        except ApprovalError:
            assert one and one.needs_approval and not one.approvers and alias != CHALLENGER
        else:
            assert one and seen == generation
            assert found == (generation if at == version else generation + 1)
            self._moved(alias, version)

    @precondition(lambda self: CHAMPION in self.aliases)
    @rule(who=st.sampled_from(PEOPLE))
    def roll_back(self, who: str) -> None:
        before, _ = self.aliases.get(PREVIOUS, (0, 0))
        live, _ = self.aliases[CHAMPION]
        fit = before not in (0, live, *self.left) and self.versions[before].state == "registered"
        try:
            found = roll_back(self.ledgers[who])
        except MissingError:
            assert not fit
        else:
            assert fit and found.version == before
            self._moved(CHAMPION, before)
            self.left.add(live)

    @rule(
        who=st.sampled_from(PEOPLE),
        version=st.integers(1, 6),
        action=st.sampled_from(("retire", "revoke")),
    )
    def withdraw(self, who: str, version: int, action: str) -> None:
        one = self.versions.get(version)
        held = {alias for alias, (at, _) in self.aliases.items() if at == version}
        try:
            self.ledgers[who].withdraw(NAME, version, action, reason="old")  # type: ignore[arg-type]
        except MissingError:
            assert one is None
        except WithdrawnError:
            assert CHAMPION in held or (action == "retire" and held)
        else:
            assert one
            if one.state != "revoked":
                one.state = {"retire": "retired", "revoke": "revoked"}[action]

    @rule(who=st.sampled_from(PEOPLE), versions=st.sets(st.integers(1, 6), min_size=1, max_size=2))
    def expire(self, who: str, versions: set[int]) -> None:
        found = [one for one in versions if one in self.versions]
        needed = {at for at, _ in self.aliases.values()} & set(found)
        ledger = self.ledgers[who]
        try:
            ledger.expire(lambda: [(ledger.find(NAME, one), "old") for one in found], POLICY)
        except WithdrawnError:
            assert needed
        else:
            assert not needed
            for one in found:
                self.versions[one].expired = True
                if self.versions[one].state == "registered":
                    self.versions[one].state = "retired"

    @invariant()
    def the_store_is_as_on_paper(self) -> None:
        ledger = self.ledgers["ana"]
        for alias, (version, generation) in self.aliases.items():
            at = ledger.alias(NAME, alias)
            assert at and (at.version, at.generation) == (version, generation)
        found = {one.version: (one.state, one.expired) for one in ledger.releases(NAME)}
        paper = {number: (one.state, one.expired) for number, one in self.versions.items()}
        assert found == paper

    @invariant()
    def the_audit_tells_it(self) -> None:
        checked = self.ledgers["bo"].verify()
        assert checked.ok, checked.reason

    def _moved(self, alias: str, version: int) -> None:
        at, generation = self.aliases.get(alias, (0, 0))
        if at == version:
            return
        if at and alias == CHAMPION:
            _, before = self.aliases.get(PREVIOUS, (0, 0))
            self.aliases[PREVIOUS] = (at, before + 1)
        if alias == CHAMPION:
            self.left.discard(version)
        self.aliases[alias] = (version, generation + 1)


def _asked(made: Candidate) -> Candidate:
    return judged(made, required_approvals=("release",))


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
