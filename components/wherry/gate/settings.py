"""The policy that a model is judged by."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from wherry.contracts.blessing import Waiver
from wherry.gate.metrics import (
    SPEEDS,
    has_direction,
    is_likelihood,
    is_share,
    is_speed,
    less_is_better,
)

_KEY: Final = re.compile(r"[a-z][a-z0-9_]*(/\S.*)?")
_KINDS: Final = ("floors", "ceilings", "every", "champion", "quantization")
_NEVER_ZERO: Final = ("floors", "every")
"""Rules in which 0 would be one that cannot fail."""
EACH: Final = "*"
"""Ends the beginning of a slice's name: ``accuracy/group=*`` is each group."""


@dataclass(frozen=True)
class Rules:
    """Rules that hold together, as one alternative of `any_of` or one part of `all_of`."""

    floors: Mapping[str, float] = field(default_factory=dict)
    """Least value of the quantized file's metric, in the metric's unit; shares in (0, 1]."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Greatest value, in the metric's unit."""
    every: Mapping[str, float] = field(default_factory=dict)
    """Least value of each slice of a metric: ``f1: 0.5`` is every class."""
    champion: Mapping[str, float] = field(default_factory=dict)
    """How much worse than the champion's a metric may be, in the metric's unit."""
    quantization: Mapping[str, float] = field(default_factory=dict)
    """How much of a metric may be lost from the tuned model to the quantized file."""
    all_of: "tuple[Rules, ...] | None" = None
    """Parts that must all hold."""
    any_of: "tuple[Rules, ...] | None" = None
    """Alternatives of which one must hold."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant; as `Policy`."""
        check_rules(self)


@dataclass(frozen=True)
class Policy:
    """Which scores a file must have to be released.

    Rules are named by metric, or by ``metric/slice`` for one class: ``f1/cancer``.
    A policy that asks for no quality is refused: it needs a floor on more than speed or, for plain
    text, a ceiling of perplexity.
    """

    floors: Mapping[str, float] = field(default_factory=dict)
    """Least value of the quantized file's metric, in the metric's unit; shares in (0, 1]."""
    ceilings: Mapping[str, float] = field(default_factory=dict)
    """Greatest value, in the metric's unit: ``size`` and ``peak_memory`` in bytes,
    ``first_token`` in ms, ``jailbreak_rate`` and its like in [0, 1]."""
    every: Mapping[str, float] = field(default_factory=dict)
    """Least value of each slice of a metric: ``f1: 0.5`` is every class,
    ``accuracy/group=*: 0.5`` every group. No such slice fails."""
    champion: Mapping[str, float] = field(default_factory=dict)
    """How much worse than the champion's a metric may be, in the metric's unit."""
    quantization: Mapping[str, float] = field(default_factory=dict)
    """How much of a metric may be lost from the tuned model to the quantized file."""
    all_of: tuple[Rules, ...] | None = None
    """Groups of rules that must all hold, each as above; an empty list is refused."""
    any_of: tuple[Rules, ...] | None = None
    """Groups of rules of which one must hold; an empty list is refused."""
    use: Literal["value", "low"] = "value"
    """What floors, ceilings and the champion are compared with: the measured value, or the
    worse end of its 95% interval. What has no such end then fails; sizes alone are exact."""
    significance: Literal["none", "not worse", "better"] = "none"
    """What must be shown against the champion, row by row: nothing but the margin; that it is
    not worse beyond the margin (95% interval of the paired difference); or, besides, that it
    is better (after the correction over all tests)."""
    champion_on_other_data: Literal["fail", "skip"] = "fail"
    """What to do when the champion was scored on other test data, or not on this metric:
    refuse, or judge by the other rules alone."""
    split: str = "test"
    """The data split that the scores must be of."""
    min_rows: int = 30
    """Fewest rows that a share over all rows, or a perplexity, may stand on."""
    min_slice_rows: int = 1
    """Fewest rows that a share or a perplexity of one slice may stand on."""
    max_data_age_days: float | None = None
    """Days since the newest row of the training data was written, at most; rows without a time
    fail it. None asks for nothing."""
    required_approvals: tuple[str, ...] = ()
    """Roles in which a person must approve a blessed file before it is deployed, such as
    ``clinical safety``."""
    approval_days: float = 14
    """Days after the gate's verdict in which they must be given."""
    waivers: tuple[Waiver, ...] = ()
    """Signed exceptions, as ``wherry gate waive`` writes them. They are no part of the policy's
    digest: each names the policy that it is an exception to."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if not _asks_quality(self):
            raise ValueError(
                "floors must name at least one metric of quality, such as accuracy: 0.6; of plain "
                "text, ceilings its perplexity"
            )
        for name, least in (("min_rows", 2), ("min_slice_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        age = self.max_data_age_days
        if age is not None and not (math.isfinite(age) and age > 0):
            raise ValueError(f"max_data_age_days must be in (0, ∞), got {age}")
        if self.significance != "none" and not any(
            "champion." in name for name in rule_names(self)
        ):
            raise ValueError(
                f"significance {self.significance!r} needs a rule on the champion to be about, "
                "such as champion: {accuracy: 0.02}"
            )
        if not 0 < self.approval_days <= 3650:
            raise ValueError(f"approval_days must be in (0, 3650], got {self.approval_days}")
        _check_roles(self.required_approvals)
        check_rules(self)


def metric_of(key: str) -> tuple[str, str]:
    """Gives the metric and the slice of a rule's name: ``f1/cancer`` is f1 of cancer."""
    metric, _, slice = key.partition("/")
    return metric, slice


def rule_names(rules: Rules | Policy, path: str = "") -> Iterator[str]:
    """Gives where each rule stands, such as ``floors.accuracy`` or ``any_of[1].every.f1``."""
    for kind in _KINDS:
        yield from (f"{path}{kind}.{key}" for key in getattr(rules, kind))
    for kind in ("all_of", "any_of"):
        for number, group in enumerate(getattr(rules, kind) or ()):
            yield from rule_names(group, f"{path}{kind}[{number}].")
    if isinstance(rules, Policy) and rules.max_data_age_days is not None:
        yield "max_data_age_days"


def check_rules(rules: Rules | Policy) -> None:
    """Refuses rules that cannot be meant, or that ask for nothing.

    Raises:
        ValueError: naming the rule, the value and what was expected.
    """
    for kind in _KINDS:
        for key, number in getattr(rules, kind).items():
            _check(kind, key, number)
    for kind in ("all_of", "any_of"):
        groups = getattr(rules, kind)
        if groups is not None and not groups:
            raise ValueError(f"{kind} has no group of rules: it would hold of any model")
    if isinstance(rules, Rules) and not any(rule_names(rules)):
        raise ValueError("a group of rules asks for nothing: name at least one rule in it")


def _asks_quality(rules: Rules | Policy) -> bool:
    """Says whether a model must show some quality, whichever alternative is taken."""
    # To be quick, or to harm nobody, is no such quality: a model that answers nothing is both.
    return bool(
        any(_is_quality(metric_of(key)[0]) for key in (*rules.floors, *rules.every))
        or any(is_likelihood(metric_of(key)[0]) for key in rules.ceilings)
        or any(map(_asks_quality, rules.all_of or ()))
        or (rules.any_of and all(map(_asks_quality, rules.any_of)))
    )


def _is_quality(metric: str) -> bool:
    return not is_speed(metric) and has_direction(metric)


def _check(kind: str, key: str, number: float) -> None:
    where = f"{kind}.{key}"
    if not _KEY.fullmatch(key):
        raise ValueError(f"{where} is no metric: expected METRIC or METRIC/SLICE")
    metric, slice = metric_of(key)
    if kind == "every" and slice and not slice.endswith(EACH):
        raise ValueError(f"{where} is one slice: put it under floors, or write {key}{EACH}")
    _check_direction(kind, metric, where)
    _check_range(kind, metric, where, number)


def _check_range(kind: str, metric: str, where: str, number: float) -> None:
    share = is_share(metric)
    # A rate may be asked to be nothing at all, a size may not.
    zero = kind not in _NEVER_ZERO and (kind != "ceilings" or share)
    low_ok = number >= 0 if zero else number > 0
    if not (math.isfinite(number) and low_ok and number <= (1.0 if share else math.inf)):
        allowed = f"{'[' if zero else '('}0, {'1]' if share else '∞)'}"
        raise ValueError(f"{where} must be in {allowed}, got {number}")


def _check_direction(kind: str, metric: str, where: str) -> None:
    if kind in ("floors", "every") and less_is_better(metric):
        raise ValueError(f"{where} asks for a cost to be high: put it under ceilings")
    if not has_direction(metric):
        if kind in ("champion", "quantization"):
            raise ValueError(f"{where}: whether more of it is better, nobody can say")
        return
    quality = metric in SPEEDS or (is_share(metric) and not less_is_better(metric))
    if kind == "ceilings" and quality:
        raise ValueError(f"{where} asks for quality to be low: put it under floors")


def _check_roles(roles: tuple[str, ...]) -> None:
    plain = [role.casefold() for role in roles]
    for role in roles:
        if not role.strip() or plain.count(role.casefold()) > 1:
            raise ValueError(f"required_approvals must be different roles, got {role!r}")
        if role != role.strip() or not role.isprintable():
            # Nobody could name it behind --as, and what nobody can give would never come.
            raise ValueError(f"required_approvals must be plain words, got {role!r}")
