"""Wires the comparison page: scores, answers and tests of two models in, one HTML file out."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from wherry.contracts import Dataset, PairedTests, Scores, digest_bytes
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import DigestError, FormatError
from wherry.contracts.files import write_atomic
from wherry.contracts.ladder import Ladder
from wherry.page.render import render
from wherry.page.words import size
from wherry.progress import stage
from wherry.report.versus.evidence import Asked, Said, Side, Versus
from wherry.report.versus.step import compose


class _Line(msgspec.Struct, frozen=True):
    """What the page needs of one line of a predictions file."""

    id: str
    label: str
    answer: str
    correct: bool
    label_pick: str = ""
    confidence: float | None = None

    @property
    def said(self) -> Said:
        """The answer, and how sure the model was if its label is a wrong one."""
        wrong = bool(self.label_pick) and self.label_pick != self.label
        return Said(self.answer, self.correct, (self.confidence or 0.0) if wrong else 0.0)


def run(
    html: Path,
    name: str,
    champion_scores: Path,
    challenger_scores: Path,
    champion_predictions: Path | None = None,
    challenger_predictions: Path | None = None,
    tests: Path | None = None,
    ladder: Path | None = None,
    dataset: Path | None = None,
    champion_title: str = "the champion",
    challenger_title: str = "the challenger",
) -> None:
    """Shows two models side by side, on one page.

    Args:
        html: where to write the page.
        name: the model's name.
        champion_scores: the `Scores` of the model to beat.
        challenger_scores: the `Scores` of the model that would take its place.
        champion_predictions: what the first answered; None if it was not kept.
        challenger_predictions: what the second answered.
        tests: the `PairedTests` between the two, if they were asked the same rows.
        ladder: the `Ladder` of the challenger's file types.
        dataset: the data set's folder, so that questions are shown and not only their ids.
        champion_title: such as ``version 3``.
        challenger_title: such as ``version 4``.

    Raises:
        DigestError: if answers or tests are not those that the scores were counted from.
        FormatError: if a file holds no predictions.
    """
    with stage("compare") as report:
        one, two = Scores.read(champion_scores), Scores.read(challenger_scores)
        first, second = _lines(champion_predictions, one), _lines(challenger_predictions, two)
        versus = Versus(
            name=name,
            champion=Side(champion_title, one, _said(first)),
            challenger=Side(challenger_title, two, _said(second)),
            paired=PairedTests.read(tests) if tests else None,
            rows=tuple(_asked(second, dataset, two)) if first and second else (),
            ladder=Ladder.read(ladder) if ladder else None,
        )
        page = render("wherry.report", "versus.html", page=compose(versus)).encode()
        write_atomic(html, page)
        report.verdict(f"one page, {size(len(page))}")


def _lines(path: Path | None, scores: Scores) -> list[_Line]:
    """Reads the answers that the scores were counted from."""
    if path is None:
        return []
    data = path.read_bytes()
    if (found := digest_bytes(data)) != scores.predictions_digest:
        raise DigestError(
            f"{path.name} has digest {found}, the scores were counted from answers of digest "
            f"{scores.predictions_digest}.",
            remedy="Hand over scores and predictions of one evaluation.",
        )
    try:
        decoder = msgspec.json.Decoder(_Line)
        return [decoder.decode(line) for line in data.splitlines()]
    except msgspec.MsgspecError as error:
        raise FormatError(
            f"{path.name} holds no predictions: {error}.",
            remedy="Hand over what evaluate wrote beside the scores.",
        ) from error


def _said(lines: list[_Line]) -> dict[str, Said]:
    return {line.id: line.said for line in lines}


def _asked(lines: list[_Line], dataset: Path | None, scores: Scores) -> Iterator[Asked]:
    questions = _questions(dataset, scores) if dataset else {}
    for line in lines:
        question, wanted = questions.get(line.id, (line.id, line.label))
        yield Asked(line.id, question, wanted)


def _questions(dataset: Path, scores: Scores) -> dict[str, tuple[str, str]]:
    data = Dataset.read(dataset / DATASET_NAME)
    if data.split(scores.split).digest != scores.data_digest:
        return {}  # another version of the data: its rows are not what was asked
    return {
        row.id: (row.prompt[-1].content if row.prompt else row.text, row.label or row.completion)
        for row in data.rows(dataset, scores.split)
    }
