"""The banner: what the run came to, in a word, a sentence and three numbers."""

from dataclasses import dataclass

from wherry.contracts.scores import Metric, Scores
from wherry.page.plots.dots import SHARE
from wherry.page.view import Badge, Fact
from wherry.page.words import MISSING, interval, metric, moment, number, quantity, sentence
from wherry.report.evidence import Evidence
from wherry.report.headline import change, headlines, short, summed_up, told


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
        journeys=tuple(_journey(evidence, key) for key in _headlines(evidence)),
        facts=_facts(evidence),
    )


def model_name(series: str, evidence: Evidence) -> str:
    """Gives a model's name for people: only a blessed file is one that ships."""
    last = "Shipped file" if evidence.blessing.passed else "Quantized file"
    return {"base": "Base model", "tuned": "Tuned model"}.get(series, last)


def summary(evidence: Evidence) -> str:
    """Gives the quantized file's first metric, and its change from the base model."""
    name = next(iter(_headlines(evidence)), "accuracy")
    gain = change(evidence.base, evidence.quantized, name)
    return f"{short(evidence.quantized.find(name))}, {gain}"


def _headlines(evidence: Evidence) -> list[str]:
    return headlines(*(scores for _, scores in evidence.models))


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
    subject = "the file that ships" if evidence.blessing.passed else "the quantized file"
    name = next(iter(_headlines(evidence)), "accuracy")
    found = evidence.quantized.find(name)
    if found is None or found.value is None:
        return f"{sentence(subject)} has no measured {metric(name).partition(',')[0].lower()}."
    gain = change(evidence.base, evidence.quantized, name)
    lost = change(evidence.tuned, evidence.quantized, name)
    over = "against" if found.unit else "over"
    return f"{summed_up(subject, found)}: {gain} {over} the base model, {lost} by quantizing."


def _journey(evidence: Evidence, key: str) -> Journey:
    stops: list[Stop] = []
    before: Scores | None = None
    for series, scores in evidence.models:
        since = change(before, scores, key) if before else ""
        stops.append(_stop(series, model_name(series, evidence), scores.find(key), since))
        before = scores
    unit = next((found.unit for _, scores in evidence.models if (found := scores.find(key))), "")
    return Journey(f"{metric(key)}, {unit}" if unit else metric(key), tuple(stops))


def _stop(series: str, name: str, found: Metric | None, since: str) -> Stop:
    if found is None or found.value is None:
        return Stop(series, name, MISSING, "not measured", "", None, None, None)
    words, since = interval(found.low, found.high, found.unit), "" if since == MISSING else since
    if found.unit:  # no share, which has its place between 0 and 1
        return Stop(series, name, number(found.value), words, since, None, None, None)
    start, end = (None if at is None else SHARE.at(at) for at in (found.low, found.high))
    return Stop(series, name, told(found), words, since, SHARE.at(found.value), start, end)


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
