"""Turns a champion and a challenger into the page that compares them."""

from dataclasses import dataclass

from wherry.page.view import Badge, Fact, Signpost
from wherry.page.words import metric, quantity
from wherry.report.headline import change, headlines, summed_up, told
from wherry.report.sections.ladder import LadderSection, ladder_section
from wherry.report.sections.tests import TestsSection, tests_section, verdict_of
from wherry.report.versus.evidence import Versus
from wherry.report.versus.parts import PartsSection, parts_section
from wherry.report.versus.rows import RowsSection, rows_section

LISTED = 25
"""Rows shown of each kind."""
_COSTS = ("size", "peak_memory", "decode_speed", "first_token")


@dataclass(frozen=True)
class Banner:
    """The head of the page."""

    badge: Badge
    name: str
    titles: str
    sentence: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class VersusPage:
    """All that the template shows, in words and places; it decides nothing."""

    banner: Banner
    tests: TestsSection
    parts: PartsSection
    rows: RowsSection
    ladder: LadderSection | None

    @property
    def signposts(self) -> tuple[Signpost, ...]:
        """The sections in the order of the page."""
        ladder = (self.ladder.signpost,) if self.ladder else ()
        return self.tests.signpost, self.parts.signpost, self.rows.signpost, *ladder


def compose(versus: Versus) -> VersusPage:
    """Gives the page of a comparison."""
    return VersusPage(
        banner=_banner(versus),
        tests=tests_section(versus.paired, same_data=versus.same_data),
        parts=parts_section(versus),
        rows=rows_section(versus, LISTED),
        ladder=ladder_section(versus.ladder) if versus.ladder else None,
    )


def _banner(versus: Versus) -> Banner:
    state, words = verdict_of(versus.paired)
    return Banner(
        badge=Badge(state, words[:1].upper() + words[1:]),
        name=versus.name,
        titles=f"{versus.champion.title} against {versus.challenger.title}",
        sentence=_sentence(versus),
        facts=tuple(_facts(versus)),
    )


def _sentence(versus: Versus) -> str:
    before, after = versus.champion.scores, versus.challenger.scores
    name = next(iter(headlines(before, after)), "accuracy")
    one, two = before.find(name), after.find(name)
    if one is None or two is None or one.value is None or two.value is None:
        return f"{metric(name).partition(',')[0]} was not measured of both."
    found = f"{summed_up(versus.challenger.title, two)}, {versus.champion.title} {told(one)}"
    if not versus.same_data:
        return f"{found}, of {one.n:,} other rows: the two numbers cannot be compared."
    return f"{found}: {change(before, after, name)}."


def _facts(versus: Versus) -> list[Fact]:
    facts = []
    for name in _COSTS:
        one, two = (side.scores.find(name) for side in (versus.champion, versus.challenger))
        if two:
            before = quantity(one.value, one.unit) if one else "not measured"
            facts.append(Fact(metric(name), quantity(two.value, two.unit), f"was {before}"))
    return facts
