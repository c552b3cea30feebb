"""The banner: what the run came to, in a word, a sentence and three numbers."""

from dataclasses import dataclass
from typing import Final

from wherry.contracts.scores import Metric, Scores
from wherry.page.plots.dots import SHARE
from wherry.page.view import Badge, Fact
from wherry.page.words import MISSING, interval, metric, moment, percent, points, quantity
from wherry.report.evidence import Evidence

HEADLINES: Final = ("accuracy", "label_accuracy")
"""The free answer first; the likeliest label is the fair comparison with an untuned model."""


@dataclass(frozen=True)
class Stop:
    """One model on the way from base to shipped file."""

    series: str
    name: str
    value: str
    interval: str
    change: str
    """Against the stop before, or empty."""
    at: float | None
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Journey:
    """One metric from the base model to the shipped file."""

    name: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class Banner:
    """The head of the page."""

    badge: Badge
    name: str
    version: str
    sentence: str
    reasons: tuple[str, ...]
    journeys: tuple[Journey, ...]
    facts: tuple[Fact, ...]


def banner(evidence: Evidence, name: str) -> Banner:
    """Sums the run up.

    Args:
        evidence: the run's records.
        name: the model's name where no release brings one.
    """
    release = evidence.release
    return Banner(
        badge=_badge(evidence),
        name=release.name if release else name or "Tuned model",
        version=f"version {release.version}" if release else "not released",
        sentence=_sentence(evidence),
        reasons=evidence.blessing.reasons,
        journeys=tuple(_journey(evidence, key) for key in HEADLINES if _measured(evidence, key)),
        facts=_facts(evidence),
    )


def model_name(series: str, evidence: Evidence) -> str:
    """Gives a model's name for people: only a blessed file is one that ships."""
    last = "Shipped file" if evidence.blessing.passed else "Quantized file"
    return {"base": "Base model", "tuned": "Tuned model"}.get(series, last)


def gain(evidence: Evidence) -> str:
    """Gives the change of the headline metric from base to quantized, in points."""
    return points(_difference(evidence.base, evidence.quantized, HEADLINES[0]))


def _badge(evidence: Evidence) -> Badge:
    if not evidence.blessing.passed:
        return Badge("bad", "Refused: nothing was released")
    if evidence.release is None:
        return Badge("warn", "Blessed, not released")
    if evidence.blessing.required_approvals and not evidence.release.aliases:
        return Badge("warn", "Blessed, waiting for approval")
    if evidence.deployment is None:
        return Badge("good", "Blessed and released")
    if not evidence.deployment.healthy:
        return Badge("warn", "Blessed and released, not serving")
    return Badge("good", "Blessed, released and serving")


def _sentence(evidence: Evidence) -> str:
    found = evidence.quantized.find(HEADLINES[0])
    subject = "The file that ships" if evidence.blessing.passed else "The quantized file"
    if found is None or found.value is None:
        return f"{subject} has no measured accuracy."
    lost = points(_difference(evidence.tuned, evidence.quantized, HEADLINES[0]))
    return (
        f"{subject} answers {percent(found.value)} of {found.n:,} held-out rows correctly: "
        f"{gain(evidence)} over the base model, {lost} by quantizing."
    )


def _difference(before: Scores, after: Scores, name: str) -> float | None:
    first, second = before.find(name), after.find(name)
    if first is None or second is None or first.value is None or second.value is None:
        return None
    return second.value - first.value


def _measured(evidence: Evidence, name: str) -> bool:
    return any(scores.find(name) for _, scores in evidence.models)


def _journey(evidence: Evidence, key: str) -> Journey:
    stops: list[Stop] = []
    before: Scores | None = None
    for series, scores in evidence.models:
        change = points(_difference(before, scores, key)) if before else ""
        stops.append(_stop(series, model_name(series, evidence), scores.find(key), change))
        before = scores
    return Journey(metric(key), tuple(stops))


def _stop(series: str, name: str, found: Metric | None, change: str) -> Stop:
    if found is None or found.value is None:
        return Stop(series, name, MISSING, "not measured", "", None, None, None)
    ends = (None if end is None else SHARE.at(end) for end in (found.low, found.high))
    words = interval(found.low, found.high)
    change = "" if change == MISSING else change
    return Stop(series, name, percent(found.value), words, change, SHARE.at(found.value), *ends)


def _facts(evidence: Evidence) -> tuple[Fact, ...]:
    release, deployment = evidence.release, evidence.deployment
    measured = (
        Fact(metric(name), quantity(found.value, found.unit))
        for name in ("size", "peak_memory", "decode_speed", "first_token")
        if (found := evidence.quantized.find(name))
    )
    return (
        *measured,
        *([Fact("Made", moment(release.created))] if release else ()),
        *([Fact("Served at", deployment.url)] if deployment and deployment.healthy else ()),
    )
