"""Wires the safety probes: a model, prompts and training rows in, rates and answers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import yaml

from wherry import strict_yaml
from wherry.contracts import (
    Dataset,
    Digest,
    Manifest,
    Metric,
    ModelRef,
    Row,
    Scores,
    digest_bytes,
    digest_record,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.contracts.files import write_atomic
from wherry.evaluate.memory import Memory, RememberingAnswerer, memory_beside
from wherry.evaluate.opening import open_answerer
from wherry.evaluate.raw.step import RawModel
from wherry.evaluate.safety.settings import PromptSet, SafetySettings
from wherry.evaluate.safety.step import (
    HELD_OUT,
    Classifier,
    Exchange,
    Finding,
    PersonalData,
    PolicyClassifier,
    WordsClassifier,
    ask,
    extraction,
    findings_of,
    memorisation,
    metrics_of,
    probes_of,
    trained_data,
)
from wherry.progress import Report, stage


@dataclass(frozen=True)
class Line:
    """What one probe showed; a line of the answers file."""

    id: str
    answer: str
    """Personal data in it is replaced by placeholders."""
    refused: bool
    violates: bool
    leaks: bool


@dataclass(frozen=True)
class _Trained:
    """The rows that a model was trained on, and some that it was not."""

    rows: Sequence[Row]
    held_out: Sequence[Row]
    digest: Digest


def run(
    dataset: Path,
    model: Path,
    scores: Path,
    answers: Path,
    subject: str,
    base: Path | None = None,
    prompts: Path | None = None,
    classifier: Path | None = None,
    classifier_base: Path | None = None,
    classifier_url: str = "",
    settings: str = "",
) -> Scores:
    """Probes a model: what it refuses, what it can be talked into, what it leaks and recites.

    Args:
        dataset: the folder of the `Dataset` that it was tuned on.
        model: a model's folder: transformers, a PEFT adapter, or GGUF.
        scores: where to write the `Scores`.
        answers: where to write a `Line` a probe, as JSON Lines.
        subject: which of the run's models it is: ``base``, ``tuned``, ``quantized``.
        base: the folder of an adapter's base.
        prompts: a `PromptSet` in YAML; the package's own without it.
        classifier: the folder of a model that says what breaks a policy; or
        classifier_base: the folder of its base, if it is an adapter.
        classifier_url: of its server, in OpenAI's protocol; without both, words decide.
        settings: a `SafetySettings` as JSON.
    """
    with stage(f"safety {subject}") as report:
        chosen = read_settings(SafetySettings, settings)
        asked = ModelRef.verified(model)
        told, told_digest = _prompts(prompts)
        trained = _trained(dataset, chosen.control_split)
        personal = _personal()
        memory = memory_beside(answers, _owner(asked, chosen))
        judge = _classifier(classifier, classifier_base, classifier_url, told, chosen, memory)
        exchanges = _asked(model, base, told, chosen, memory, report)
        known = trained_data(trained.rows, personal)
        found = findings_of(exchanges, judge, personal, known, chosen.flagged_at, report)
        recited = _recited(asked, model, base, trained, personal, chosen, report)
        made = Scores(
            subject=subject,
            model_digest=asked.digest,
            template_digest=asked.template_digest,
            data_digest=digest_bytes(f"{told_digest} {trained.digest} {judge.name}".encode()),
            split="safety",
            metrics=metrics_of(found) + recited,
            engine=f"{told.name}, {judge.name}",
        )
        write_atomic(answers, _lines(exchanges, found, personal))
        made.write(scores)
        memory.forget()
        report.verdict(_verdict(made))
    return made


def _prompts(path: Path | None) -> tuple[PromptSet, Digest]:
    """Reads a prompt set, and gives its file's digest too."""
    packaged = resources.files(__package__).joinpath("prompts.yaml")
    text = path.read_bytes() if path else packaged.read_bytes()
    where = path.name if path else "the package's prompt set"
    try:
        values = strict_yaml.load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where} is no YAML: {error}.", remedy="Correct it.") from error
    if not isinstance(values, dict):
        raise SettingsError(
            f"{where} holds no prompt set, expected name, language and prompts.",
            remedy="Correct it.",
        )
    return read_settings(PromptSet, values, where=where), digest_bytes(text)


def _trained(dataset: Path, control: str) -> _Trained:
    Manifest.verified(dataset)
    data = Dataset.read(dataset / DATASET_NAME)
    split = data.split("train")
    return _Trained(data.rows(dataset, "train"), data.rows(dataset, control), split.digest)


def _personal() -> PersonalData:
    try:
        from wherry.evaluate.safety.adapters.personal import PatternData
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Finding personal data needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[validate]"',
        ) from error
    return PatternData()


def _classifier(
    folder: Path | None,
    base: Path | None,
    url: str,
    told: PromptSet,
    chosen: SafetySettings,
    memory: Memory,
) -> Classifier:
    if folder is None and not url:
        return _words(chosen, told)
    if not told.policies:
        raise SettingsError(
            f"The prompt set {told.name} has no policies, and a classifier needs one.",
            remedy="Add policies to it, or leave the classifier out.",
        )
    opened = open_answerer(folder, base, url, chosen.classifier)
    who = f"{opened.identity} {msgspec.json.encode(chosen.classifier).decode()}"
    answerer = RememberingAnswerer(opened.answerer, memory, who)
    return PolicyClassifier(answerer, f"{opened.name} ({opened.digest})", told.policies)


def _words(chosen: SafetySettings, told: PromptSet) -> Classifier:
    """Refuses answers so short that none could count as giving in: every rate would be 0."""
    if told.harmful and chosen.asking.max_new_tokens < chosen.fewest_words:
        raise SettingsError(
            f"An answer of {chosen.asking.max_new_tokens} tokens (asking.max_new_tokens) never has "
            f"{chosen.fewest_words} words (fewest_words), from which on it counts as giving in.",
            remedy="Raise asking.max_new_tokens, to some dozens of tokens.",
        )
    return WordsClassifier(chosen.fewest_words)


def _owner(model: ModelRef, settings: SafetySettings) -> str:
    """Gives what answers hang on besides the prompt."""
    return f"{digest_record(model)} {msgspec.json.encode(settings.asking).decode()}"


def _asked(
    model: Path,
    base: Path | None,
    told: PromptSet,
    chosen: SafetySettings,
    memory: Memory,
    report: Report,
) -> list[Exchange]:
    opened = open_answerer(model, base, "", chosen.asking)
    answerer = RememberingAnswerer(opened.answerer, memory, opened.identity)
    return ask(probes_of(told, chosen.jailbreak_requests), answerer, report)


def _recited(
    described: ModelRef,
    model: Path,
    base: Path | None,
    trained: _Trained,
    personal: PersonalData,
    chosen: SafetySettings,
    report: Report,
) -> tuple[Metric, ...]:
    """Measures what comes out of the training rows word for word."""
    if not (chosen.memorised_rows or chosen.personal_rows):
        return ()
    raw = _raw(described, model, base, chosen)
    metrics: list[Metric] = []
    for rows, slice_ in ((trained.rows, ""), (trained.held_out, HELD_OUT)):
        if chosen.memorised_rows:
            limits = (chosen.memorised_rows, chosen.memorised_tokens)
            metrics += [memorisation(raw, rows, *limits, report, slice_)]
    if chosen.personal_rows:
        metrics += [extraction(raw, trained.rows, personal, chosen.personal_rows, report)]
    return tuple(metrics)


def _raw(described: ModelRef, model: Path, base: Path | None, chosen: SafetySettings) -> RawModel:
    from wherry.evaluate.raw.adapters.open import opened

    return opened(
        described,
        model,
        base,
        context=chosen.asking.context,
        batch_size=chosen.asking.batch_size,
        threads=chosen.asking.threads,
    )


def _lines(
    exchanges: Sequence[Exchange], findings: Sequence[Finding], personal: PersonalData
) -> bytes:
    clean = personal.redacted([exchange.answer for exchange in exchanges])
    lines = [
        Line(found.probe.id, text, found.refused, found.violates, found.leaks)
        for found, text in zip(findings, clean, strict=True)
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _verdict(scores: Scores) -> str:
    found = [(words, scores.find(name, slice_)) for name, slice_, words in _TOLD]
    told = [f"{words} {_percent(metric)}" for words, metric in found if metric]
    unjudged = scores.find("unjudged_rate")
    if unjudged and unjudged.value:
        told.append(f"unjudged {_percent(unjudged)}")
    return ", ".join(told)


def _percent(metric: Metric) -> str:
    return "unknown" if metric.value is None else f"{100 * metric.value:.0f}%"


_TOLD: Final = (
    ("refusal_rate", "", "refused"),
    ("jailbreak_rate", "", "talked into"),
    ("pii_leak_rate", "", "leaked"),
    ("memorisation_rate", "", "recited"),
    ("memorisation_rate", HELD_OUT, "held out"),
)
"""Rates that a stage's line names; recital tells little without that of held-out rows."""
