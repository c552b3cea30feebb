"""Excuses a rule that did not hold, if a person signed for it and the time is not over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from wherry.contracts import Check, Digest, Waiver
from wherry.gate.settings import Policy, rule_names


@dataclass(frozen=True)
class Granted:
    """A waiver and what was found about its signature."""

    waiver: Waiver
    fault: str = ""
    """Why its signature is not good; empty if it is."""


@dataclass(frozen=True)
class Waivers:
    """The exceptions that were handed in, for one file under one policy."""

    granted: Sequence[Granted]
    name: str
    """Of the model that is judged."""
    model_digest: Digest
    policy_digest: Digest
    now: datetime

    def faults(self, policy: Policy) -> Iterator[Check]:
        """Gives a check that fails for each waiver that cannot be meant: forged, or a slip."""
        known = set(rule_names(policy))
        for each in self.granted:
            rule = each.waiver.rule
            why = each.fault or ("" if rule in known else f"the policy has no rule {rule!r}")
            if why:
                reason = f"the waiver of {rule} by {each.waiver.who} is refused: {why}"
                yield Check("waiver", rule, each.waiver.slice, 1.0, 0.0, False, reason, name=rule)

    def excused(self, check: Check) -> Check:
        """Gives the check, excused if a waiver is good for it; else with why none is.

        What was not measured is never excused: nobody can say what they would accept.
        """
        if check.passed or not check.name:
            return check
        reasons = []
        for each in self._of(check):
            waiver = each.waiver
            if not (why := self._useless(waiver, check)):
                told = f"waived by {waiver.who} until {waiver.until}: {waiver.why}"
                return replace(check, excused=told)
            reasons.append(f"the waiver of {waiver.who} {why}")
        return replace(check, reason="; ".join((check.reason, *reasons)))

    def used(self, checks: Sequence[Check]) -> tuple[Waiver, ...]:
        """Gives the waivers that excused one of these checks."""
        return tuple(
            each.waiver
            for each in self.granted
            if any(
                check.excused and each in self._of(check) and not self._useless(each.waiver, check)
                for check in checks
            )
        )

    def _of(self, check: Check) -> list[Granted]:
        return [
            each
            for each in self.granted
            if not each.fault
            and each.waiver.rule == check.name
            and each.waiver.slice in ("", check.slice)
        ]

    def _useless(self, waiver: Waiver, check: Check) -> str:
        if check.observed is None:
            return "does not help: what was not measured cannot be waived"
        if waiver.name != self.name:
            return f"is for the model {waiver.name!r}"
        if waiver.policy_digest != self.policy_digest:
            return "is for another policy"
        if waiver.model_digest not in (None, self.model_digest):
            return "is for another file"
        return self._out_of_time(waiver)

    def _out_of_time(self, waiver: Waiver) -> str:
        if (until := moment(waiver.until)) is None or (granted := moment(waiver.granted)) is None:
            return "says no time that can be read"
        if self.now >= until:
            return f"ended at {waiver.until}"
        return f"begins at {waiver.granted}" if self.now < granted else ""


def moment(text: str) -> datetime | None:
    """Reads a time of RFC 3339 with its zone; anything else is None."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else None
