"""A judge that says what it is told to, for validate's step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wherry.contracts.errors import SettingsError
from wherry.validate.features import FeatureTable
from wherry.validate.settings import Rule
from wherry.validate.step import Outcome


@dataclass
class ScriptedJudge:
    """Passes every rule but those that `failing` names by type."""

    failing: dict[str, Outcome] = field(default_factory=dict)
    """Outcomes by the type of their rule; the rule itself is filled in."""
    unknown: tuple[str, ...] = ()
    """Types that `lint` refuses."""
    loses: int = 0
    """Rules that get no outcome."""

    def lint(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if rule.type in self.unknown:
                raise SettingsError(f"{rule.type} not found.", remedy="Correct it.")

    def judge(
        self, table: FeatureTable, rules: Sequence[Rule], listed_rows: int
    ) -> Sequence[Outcome]:
        return [self._one(rule) for rule in rules][self.loses :]

    def _one(self, rule: Rule) -> Outcome:
        told = self.failing.get(rule.type, Outcome(rule, passed=True, observed="1"))
        return Outcome(rule, told.passed, told.observed, told.unexpected, told.rows, told.fault)
