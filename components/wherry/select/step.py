"""Ranks the models of a catalogue by what a team needs, and says why the others do not fit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from wherry.contracts.record import Record
from wherry.select.catalogue import TERMS, Catalogue, Model
from wherry.select.memory import serve, tune
from wherry.select.settings import Need
from wherry.select.sizes import say_size

Reason = Literal[
    "task", "licence", "language", "context", "server", "serving memory", "tuning memory", "rooms"
]
REASONS: Final[Mapping[Reason, str]] = {
    "task": "not made for the task",
    "licence": "licence asks more",
    "language": "language",
    "context": "context too short",
    "server": "cannot be served here",
    "serving memory": "too much memory to serve",
    "tuning memory": "too much memory to tune",
    "rooms": "not the whole way today",
}
"""Why a model does not fit, in the order in which they are looked at."""

START: Final[Mapping[str, float]] = {
    "classification": 0.13e9,
    "extraction": 0.35e9,
    "summarization": 1e9,
    "chat": 1.5e9,
    "moderation": 2e9,
    "vision": 2e9,
    "code": 3e9,
    "reasoning": 3e9,
}
"""Parameters to begin with for a task.

A rule of thumb: begin small, let the gate say whether it is enough, and take the next one if not.
The first is what the demo measures, SmolLM2-135M telling 22 classes apart; the others are opinion.
"""
FEW_ROWS: Final = 50
"""With fewer training rows than this there is nothing to tune on and little to judge by."""


@dataclass(frozen=True)
class Fit:
    """A model that fits."""

    id: str
    name: str
    uri: str
    """For `fetch_base`: ``hf://ORG/NAME@COMMIT``, with the word COMMIT where none was seen."""
    licence: str
    terms: str
    licence_note: str
    parameters: int
    context: int
    template: str
    quantization: str
    """The file type that the serving memory is of."""
    serve_bytes: int
    """What has to be there to serve it: see `wherry.select.memory.Estimate`."""
    serve_parts: Mapping[str, int]
    """What the peak is made of, in bytes."""
    tune_bytes: int
    tune_parts: Mapping[str, int]
    whole_way: bool
    """Whether every room of Wherry can handle it today."""
    tested: bool
    note: str
    """What the rooms cannot do with it."""
    unverified: tuple[str, ...]
    """Groups of figures that nobody compared with their source."""


@dataclass(frozen=True)
class Misfit:
    """A model that does not fit, with every reason."""

    id: str
    reasons: tuple[Reason, ...]
    """The first is what it is grouped by."""
    details: tuple[str, ...]
    """One a reason, with its figures."""
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advice:
    """A rule that speaks for a large model behind an API, or against one."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Suggestion(Record):
    """What fits, best first, and what does not."""

    need: Need
    chosen: str
    """The first of `fits`, or empty."""
    fits: tuple[Fit, ...]
    misfits: tuple[Misfit, ...]
    prefer_api: bool
    """Whether a large model behind an API is the better choice."""
    advice: tuple[Advice, ...]
    """Why so, or why not although a rule says so."""
    schema: Literal["wherry.suggestion/1"] = "wherry.suggestion/1"


def suggest(catalogue: Catalogue, need: Need) -> Suggestion:
    """Ranks what fits and says why the others do not; the same input gives the same answer.

    Models that Wherry can take the whole way come first, then those of at least the task's
    `START`, the smallest first, then the smaller ones, the largest first.
    """
    fits, misfits = [], []
    for model in catalogue.models.values():
        found = tuple(_against(model, need))
        if found:
            reasons, details = zip(*found, strict=True)
            misfits.append(Misfit(model.id, reasons, details, model.unverified))
        else:
            fits.append(_fit(model, need))
    ranked = tuple(sorted(fits, key=lambda fit: _rank(fit, need)))
    advice = _advice(Situation(need, ranked, tuple(misfits)))
    return Suggestion(
        need=need,
        chosen=ranked[0].id if ranked else "",
        fits=ranked,
        misfits=tuple(misfits),
        prefer_api=bool(advice) and not need.private,
        advice=advice,
    )


def _rank(fit: Fit, need: Need) -> tuple[bool, bool, float, str]:
    small = fit.parameters < START[need.task]
    return not fit.whole_way, small, -fit.parameters if small else fit.parameters, fit.id


def _against(model: Model, need: Need) -> Iterator[tuple[Reason, str]]:
    """Gives everything that speaks against a model, in the order of `REASONS`."""
    if need.task not in model.tasks:
        yield "task", f"for {', '.join(model.tasks)}"
    if model.licence.terms not in _allowed(need):
        yield "licence", f"{model.licence.name}: {model.licence.terms}"
    if need.language and not {need.language, "*"} & set(model.languages):
        told = ", ".join(model.languages) or "its publisher names none that was seen"
        yield "language", f"languages: {told}"
    if model.context < need.context:
        yield "context", f"{model.context:,} of {need.context:,} tokens"
    if not model.gguf:
        yield "server", "llama.cpp does not know its architecture"
    yield from _memory(model, need)
    if need.whole_way and not model.whole_way:
        yield "rooms", model.rooms.note


def _allowed(need: Need) -> tuple[str, ...]:
    most = [terms == need.license for terms in TERMS].index(True)
    return TERMS[: most + 1]


def _memory(model: Model, need: Need) -> Iterator[tuple[Reason, str]]:
    if need.memory and not _fitting(model, need):
        told = " or ".join(f"{say_size(_served(model, need, q))} as {q}" for q in _types(need))
        yield "serving memory", f"{told}, of {say_size(need.memory)}"
    needed = tune(model.architecture, need.recipe).needed
    if need.tune_memory and needed > need.tune_memory:
        yield "tuning memory", f"{say_size(needed)} of {say_size(need.tune_memory)}"


def _types(need: Need) -> tuple[str, ...]:
    return ("Q8_0", "Q4_K_M") if need.quantization == "auto" else (need.quantization,)


def _served(model: Model, need: Need, quantization: str) -> int:
    return serve(model.architecture, quantization, need.context, need.parallel).needed


def _fitting(model: Model, need: Need) -> str:
    """Gives the first file type that fits, or nothing."""
    fitting = (q for q in _types(need) if _served(model, need, q) <= need.memory)
    return next(fitting, "")


def _fit(model: Model, need: Need) -> Fit:
    quantization = (_fitting(model, need) if need.memory else "") or _types(need)[0]
    served = serve(model.architecture, quantization, need.context, need.parallel)
    tuned = tune(model.architecture, need.recipe)
    return Fit(
        id=model.id,
        name=model.name,
        uri=f"hf://{model.hub}@{model.revision or 'COMMIT'}",
        licence=model.licence.name,
        terms=model.licence.terms,
        licence_note=model.licence.note,
        parameters=model.parameters,
        context=model.context,
        template=model.template,
        quantization=quantization,
        serve_bytes=served.needed,
        serve_parts=served.parts,
        tune_bytes=tuned.needed,
        tune_parts=tuned.parts,
        whole_way=model.whole_way,
        tested=model.rooms.tested,
        note=model.rooms.note,
        unverified=model.unverified,
    )


@dataclass(frozen=True)
class Situation:
    """What a rule looks at."""

    need: Need
    fits: tuple[Fit, ...]
    misfits: tuple[Misfit, ...]


@dataclass(frozen=True)
class Rule:
    """One reason to prefer a large model behind an API."""

    name: str
    why: str
    """What stands behind it, for the documentation."""
    applies: Callable[[Situation], str]
    """Gives the reason with its figures, or nothing."""


def _nothing_fits(at: Situation) -> str:
    if at.fits or _too_long(at):
        return ""
    nearest = min(at.misfits, key=lambda misfit: len(misfit.reasons), default=None)
    if nearest is None:
        return "the catalogue is empty"
    told = "; ".join(nearest.details)
    return f"none of {len(at.misfits)} models fits; the closest is {nearest.id}: {told}"


def _too_long(at: Situation) -> str:
    alone = [m for m in at.misfits if m.reasons == ("context",)]
    if at.fits or not alone:
        return ""
    return f"only the context of {at.need.context:,} tokens rules out {len(alone)} models"


def _broad(at: Situation) -> str:
    if not at.need.broad:
        return ""
    return "answers need broad knowledge or open-ended reasoning, which grow with size"


def _too_small(at: Situation) -> str:
    start = START[at.need.task]
    largest = max((fit.parameters for fit in at.fits), default=0)
    if not at.fits or largest >= start:
        return ""
    return (
        f"the largest that fits has {largest / 1e9:.2g} billion parameters; for "
        f"{at.need.task} begin with {start / 1e9:.2g}"
    )


def _few_rows(at: Situation) -> str:
    rows = at.need.rows
    if rows is None or rows >= FEW_ROWS:
        return ""
    return f"{rows} training rows are fewer than {FEW_ROWS}: collect answers first, then tune"


def _seldom(at: Situation) -> str:
    need = at.need
    if need.requests_per_day is None or need.requests_per_day >= need.break_even:
        return ""
    return (
        f"{need.requests_per_day:g} requests a day are fewer than {need.break_even:g}, from which "
        "a server of your own costs less"
    )


RULES: Final = (
    Rule("nothing fits", "A model that is not there cannot be tuned.", _nothing_fits),
    Rule("long context", "Large models read much more at once.", _too_long),
    Rule("broad", "Small models are good at one narrow thing that they were tuned for.", _broad),
    Rule("too small", "Each task has a size below which tuning seldom helps.", _too_small),
    Rule("few rows", "Without rows there is nothing to tune on and to judge by.", _few_rows),
    Rule("seldom", "A server costs the same when nobody asks.", _seldom),
)
"""When a large model behind an API is the better choice: if any of these applies."""


def _advice(at: Situation) -> tuple[Advice, ...]:
    found = [Advice(rule.name, told) for rule in RULES if (told := rule.applies(at))]
    if found and at.need.private:
        found.append(Advice("private", "but the data may not leave: ask for less, or more memory"))
    return tuple(found)
