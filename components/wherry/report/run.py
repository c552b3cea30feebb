"""Wires the report: a run's records in, one HTML file out."""

from pathlib import Path

from wherry.contracts.blessing import Blessing
from wherry.contracts.curve import LossCurve
from wherry.contracts.dataset import DATASET_NAME, Dataset, Message, read_rows
from wherry.contracts.files import write_atomic
from wherry.contracts.ladder import Ladder
from wherry.contracts.paired import PairedTests
from wherry.contracts.parity import Parity
from wherry.contracts.release import Deployment, Release
from wherry.contracts.scores import Scores
from wherry.contracts.settings import read_settings
from wherry.contracts.validation import ValidationReport
from wherry.page.render import render
from wherry.page.words import size
from wherry.progress import stage
from wherry.report.evidence import Evidence
from wherry.report.settings import ReportSettings
from wherry.report.step import compose


def run(
    html: Path,
    dataset: Path,
    validation: Path,
    curve: Path,
    scores_base: Path,
    scores_tuned: Path,
    scores_quantized: Path,
    parity: Path,
    blessing: Path,
    ladder: Path | None = None,
    release: Path | None = None,
    deployment: Path | None = None,
    name: str = "",
    settings: str = "",
    paired: Path | None = None,
) -> None:
    """Shows everything that a run found, on one page.

    Args:
        html: where to write the page.
        dataset: the data set's folder.
        validation: the `ValidationReport`.
        curve: the `LossCurve`.
        scores_base: the `Scores` of the base model.
        scores_tuned: the `Scores` of the tuned model.
        scores_quantized: the `Scores` of the quantized file.
        parity: the `Parity` between training form and quantized file.
        blessing: the `Blessing`, passed or refused.
        ladder: the `Ladder` of file types; one of a single type is not shown.
        release: the `Release`, if there was one.
        deployment: the `Deployment`, if there was one.
        name: the model's name, for a run that released nothing.
        settings: `ReportSettings` as JSON.
        paired: the `PairedTests` against the champion; without a champion they are not shown.
    """
    with stage("report") as report:
        chosen = read_settings(ReportSettings, settings)
        data = Dataset.read(dataset / DATASET_NAME)
        evidence = Evidence(
            dataset=data,
            validation=ValidationReport.read(validation),
            curve=LossCurve.read(curve),
            base=Scores.read(scores_base),
            tuned=Scores.read(scores_tuned),
            quantized=Scores.read(scores_quantized),
            parity=Parity.read(parity),
            blessing=Blessing.read(blessing),
            ladder=Ladder.read(ladder) if ladder else None,
            paired=PairedTests.read(paired) if paired else None,
            release=Release.read(release) if release else None,
            deployment=Deployment.read(deployment) if deployment else None,
            example=_example(data, dataset) if chosen.quote_row else (),
        )
        composed = compose(evidence, chosen, name=name)
        page = render("wherry.report", "page.html", page=composed).encode()
        write_atomic(html, page)
        report.verdict(f"one page, {size(len(page))}")


def _example(data: Dataset, folder: Path) -> tuple[Message, ...]:
    """Gives the prompt of the first held-out row."""
    row = next(read_rows(folder / data.split("test").file), None)
    return row.prompt if row else ()
