"""Writes rules as YAML that teaches: each with what was seen and why to ask."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from wherry.validate.fitted.observed import Observed, is_readable
from wherry.validate.fitted.propose import Proposal

_WIDTH: Final = 96
_HEAD: Final = """\
# What data must be before a model is trained on it: an expectation suite.
#
{sample}
# The limits are what the data showed, with a margin: they catch what changes, not what was wrong
# from the start. Read each, tighten what you know better, take out what you do not need. Then:
#
#   wherry validate FILE --suite THIS_FILE --page report.html
#
# Each entry is one expectation of https://greatexpectations.io/expectations on what is measured of
# the rows, never on their texts; the README of wherry.validate lists the columns. A `critical`
# failure stops a run; a `warning` is told in the report. `mostly: 0.99` lets 1% of the rows break
# a rule; `row_condition: split == "train"` asks it of some rows alone. What looks at no row fails.
"""


def suite_text(name: str, seen: Observed, proposals: Sequence[Proposal]) -> str:
    """Gives the suite as YAML with comments; the same sample gives the same text.

    Args:
        name: of the suite.
        seen: the sample.
        proposals: the rules, in order.
    """
    head = _HEAD.format(sample=_wrapped(f"Fitted by `wherry validate init` to {_sample(seen)}."))
    body = [f"name: {_scalar(name)}", "", "expectations:"]
    section = ""
    for each in proposals:
        if each.section != section:
            section = each.section
            body += ["", *_comment(f"{section}"), "  #"]
        body += [*_rule(each), ""]
    return "\n".join([head + _known_failures(proposals), *body[:-1]]) + "\n"


def _sample(seen: Observed) -> str:
    splits = ", ".join(f"{rows:,} of {_plain(name)}" for name, rows in seen.splits.items())
    size = "all" if seen.whole else "the first"
    return f"{size} {seen.rows:,} {seen.kind} rows" + (
        f" ({splits})" if len(seen.splits) > 1 else ""
    )


def _known_failures(proposals: Sequence[Proposal]) -> str:
    critical = [each for each in proposals if each.broken and each.severity == "critical"]
    if not critical:
        return ""
    names = ", ".join(str(each.kwargs.get("column", each.type)) for each in critical)
    told = (
        f"Today's data breaks {len(critical)} critical rule{'s'[: len(critical) > 1]}: {names}. "
        "It will be refused until they hold, or until you decide otherwise here."
    )
    return f"#\n{_wrapped(told)}\n"


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# "))


def _rule(proposal: Proposal) -> Iterator[str]:
    yield from _comment(proposal.seen)
    yield f"  - type: {proposal.type}"
    yield from _kwargs(proposal.kwargs)
    yield f"    severity: {proposal.severity}"
    yield f"    notes: {_scalar(proposal.notes)}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(_plain(text), _WIDTH, initial_indent="  # ", subsequent_indent="  # ")


def _kwargs(kwargs: Any) -> Iterator[str]:
    pairs = [f"{key}: {_flow(value)}" for key, value in kwargs.items()]
    line = f"    kwargs: {{ {', '.join(pairs)} }}"
    if len(line) <= _WIDTH:
        yield line
        return
    yield "    kwargs:"
    for key, value in kwargs.items():
        yield from _long(key, value)


def _long(key: str, value: Any) -> Iterator[str]:
    line = f"      {key}: {_flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"      {key}:"
    yield from (f"        - {_flow(item)}" for item in value)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Gives one value on one line, quoted where YAML would read something else."""
    if isinstance(value, str):
        plain = yaml.safe_dump(
            [value], default_flow_style=True, allow_unicode=is_readable(value), width=10**6
        )
        return plain.strip()[1:-1]
    return json.dumps(value)


def _plain(text: str) -> str:
    # A name with a line break would end the comment.
    return " ".join("".join(c if c.isprintable() else "?" for c in text).split())
