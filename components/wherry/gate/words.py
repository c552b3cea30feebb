"""Says a policy in words, so that who signs for it needs to read no YAML."""

import re
from collections.abc import Iterator
from typing import Final

from wherry.gate.evidence import difference, named, say
from wherry.gate.metrics import less_is_better, likely_meant, unit_of
from wherry.gate.settings import EACH, Policy, Rules, metric_of, rule_names

_STEP: Final = "  "
_METRIC: Final = re.compile(r"(?:\w+\[\d+\]\.)*\w+\.(\w+)")
"""Of a rule's name, such as ``any_of[1].every.f1/eye``."""
_ENDS: Final = {
    "value": "The measured values are compared.",
    "low": "The worse end of each 95% interval is compared, not the measured value.",
}
_SHOWN: Final = {
    "none": "",
    "not worse": ", shown row by row by the 95% interval of the difference",
    "better": ", shown row by row, and it must be shown to be better, corrected for all tests",
}


def explain(policy: Policy) -> list[str]:
    """Gives a policy in sentences, one a line; what is nested is indented.

    Example::

        for line in explain(Policy(floors={"accuracy": 0.6})):
            print(line)
    """
    return [
        "A file is blessed if all of this holds:",
        *map(_item, (*_rules(policy, policy), *_ground(policy))),
        _ENDS[policy.use],
        "Whatever is missing, not a number, or not comparable counts as failed.",
        *_slips(policy),
        *_afterwards(policy),
    ]


def _item(line: str) -> str:
    """Gives a line as an item of a list; what is an item of an inner list already moves in."""
    return f"{_STEP}{line}" if line.startswith(" ") else f"{_STEP}- {line}"


def _rules(rules: Rules | Policy, policy: Policy) -> Iterator[str]:
    for key, floor in rules.floors.items():
        yield f"{named(key)} is at least {_amount(key, floor)}"
    for key, floor in rules.every.items():
        yield f"{_each(key)} is at least {_amount(key, floor)}"
    for key, ceiling in rules.ceilings.items():
        yield f"{named(key)} is at most {_amount(key, ceiling)}"
    for key, margin in rules.champion.items():
        yield _beside_the_champion(key, margin, policy)
    for key, most in rules.quantization.items():
        word = "rises" if less_is_better(metric_of(key)[0]) else "falls"
        yield f"{named(key)} {word} by at most {_gap(key, most)} from the tuned model to the file"
    yield from _groups(rules, policy)


def _groups(rules: Rules | Policy, policy: Policy) -> Iterator[str]:
    for part in rules.all_of or ():
        yield from _rules(part, policy)
    if rules.any_of:
        yield f"one of these {len(rules.any_of)} alternatives holds:"
        for number, part in enumerate(rules.any_of, 1):
            yield f"{_STEP}{number}. all of:"
            yield from (f"{_STEP}{_item(line)}" for line in _rules(part, policy))


def _beside_the_champion(key: str, margin: float, policy: Policy) -> str:
    side = "above" if less_is_better(metric_of(key)[0]) else "below"
    told = f"{named(key)} is at most {_gap(key, margin)} {side} the champion's"
    return told + _SHOWN[policy.significance]


def _ground(policy: Policy) -> Iterator[str]:
    if policy.max_data_age_days is not None:
        yield f"the newest training row is at most {policy.max_data_age_days:g} days old"
    yield "the file's next tokens agree with the tuned model's, as quantize demands"
    yield (
        "tuned model and file were scored on the same rows, through the same template, on the "
        f"split {policy.split}"
    )
    yield (
        f"each share or perplexity stands on {policy.min_rows} rows at least, of one slice on "
        f"{policy.min_slice_rows}"
    )
    if policy.champion_on_other_data == "skip":
        yield "a champion that was scored on other data is not compared"
    else:
        yield "the champion, if there is one, was scored on the same rows"


def _slips(policy: Policy) -> Iterator[str]:
    """Says which metrics nobody may ever give: a rule on them would refuse every file."""
    found = (_METRIC.match(rule) for rule in rule_names(policy))
    for name in dict.fromkeys(each[1] for each in found if each):
        if meant := likely_meant(name):
            yield f"Nothing here gives {name}, unless a benchmark of yours does: was {meant} meant?"


def _afterwards(policy: Policy) -> Iterator[str]:
    if policy.required_approvals:
        roles = ", ".join(policy.required_approvals)
        yield (
            f"Before it is deployed, and within {policy.approval_days:g} days of the verdict, it "
            f"is approved as: {roles}; each by a person of their own, never by who made it"
        )
    for waiver in policy.waivers:
        whole = f" of {waiver.slice}" if waiver.slice else ""
        yield (
            f"Waived until {waiver.until} if the signature is good: {waiver.rule}{whole} for "
            f"{waiver.name}, by {waiver.who}: {waiver.why}"
        )


def _each(key: str) -> str:
    metric, beginning = metric_of(key)
    plain = beginning.removesuffix(EACH)
    return f"{metric} of every slice" + (f" that begins with {plain!r}" if plain else "")


def _amount(key: str, value: float) -> str:
    unit = unit_of(metric_of(key)[0])
    return f"{value:g}" if unit is None else say(value, unit)


def _gap(key: str, value: float) -> str:
    unit = unit_of(metric_of(key)[0])
    return f"{value:g}" if unit is None else difference(value, unit)
