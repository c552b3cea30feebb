"""Wires the evaluation of a running server: a data split and an address in, scores out."""

from pathlib import Path
from typing import TYPE_CHECKING

from wherry.contracts import Scores, read_settings
from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.evaluate.exam import Asked, Sitting, verdict
from wherry.evaluate.settings import EvaluateSettings
from wherry.evaluate.step import Model, latencies
from wherry.progress import stage

if TYPE_CHECKING:
    from wherry.evaluate.adapters.openai import OpenAiAnswerer


def run(
    dataset: Path, scores: Path, predictions: Path, subject: str, url: str, settings: str = ""
) -> Scores:
    """Asks a server every row of a held-out split and scores its answers.

    Args:
        dataset: the folder of a `Dataset`.
        scores: where to write the `Scores`.
        predictions: where to write a `Prediction` a row, as JSON Lines.
        subject: which of the run's models it is, such as ``served``.
        url: up to the protocol's version, such as ``http://127.0.0.1:8080/openai/v1``.
        settings: an `EvaluateSettings` as JSON; its `endpoint` says how the server is asked.
    """
    with stage(f"evaluate {subject}") as report:
        wanted = read_settings(EvaluateSettings, settings)
        sitting = Sitting.opened(dataset, wanted, scores, predictions)
        _refuse_likelihood(sitting)
        answerer = _answerer(url, wanted)
        asked = _asked(subject, url, answerer)
        found = sitting.hold(Model(answerer), asked, lambda: latencies(answerer.latencies), report)
        report.verdict(verdict(found))
    return found


def _asked(subject: str, url: str, answerer: "OpenAiAnswerer") -> Asked:
    digest, template = answerer.model_digest, answerer.template_digest
    return Asked(subject, digest, template, answerer.verified, f"{answerer.model} at {url}")


def _refuse_likelihood(sitting: Sitting) -> None:
    if sitting.exam.chosen.likelihood:
        raise SettingsError(
            "A server of this protocol does not say how probable a given text is, which "
            "perplexity needs.",
            remedy="Take perplexity out of measures, or evaluate the model's folder.",
        )


def _answerer(url: str, wanted: EvaluateSettings) -> "OpenAiAnswerer":
    try:
        from wherry.evaluate.adapters.openai import OpenAiAnswerer
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Asking a server needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[evaluate]"',
        ) from error
    return OpenAiAnswerer(url, wanted.endpoint, max_new_tokens=wanted.max_new_tokens)
