"""wherry models card and compare: what people read about a version, and about two."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from wherry.cli.moves import open_ledger, parse_version
from wherry.cli.options import debug_option, json_option
from wherry.contracts.errors import DataError, DigestError
from wherry.contracts.files import write_atomic
from wherry.ledger import Ledger

page_path = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("model")
@click.option("-o", "--output", type=page_path, help="A file; the terminal if left out.")
@json_option
@debug_option
def card(model: str, output: Path | None, as_json: bool) -> None:
    """Print the model card of MODEL (NAME:VERSION).

    In the form of the Hugging Face Hub.
    """
    from wherry.ledger.export.case import gathered
    from wherry.ledger.export.documents import model_card

    name, version = parse_version(model)
    with open_ledger() as ledger:
        text = model_card(gathered(ledger, name, version))
    if output:
        write_atomic(output, text.encode())
    if as_json:
        written = {"output": str(output)} if output else {"card": text}
        print(json.dumps({"name": name, "version": version, **written}, indent=2))
    elif output:
        print(output)
    else:
        print(text, end="")


@click.command()
@click.argument("model")
@click.argument("other", type=click.IntRange(1, 999_999_999))
@click.option("--html", required=True, type=page_path, help="Where to write the page.")
@click.option(
    "--dataset",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder of the data set, so that questions are shown and not only their ids.",
)
@json_option
@debug_option
def compare(model: str, other: int, html: Path, dataset: Path | None, as_json: bool) -> None:
    """Show the answers of two versions side by side.

    `compare icd10-triage:1 2 --html page.html`. Differences with intervals and tests, every class,
    the rows that one of them has wrong.
    """
    from wherry.report.versus.run import run

    name, version = parse_version(model)
    with tempfile.TemporaryDirectory() as folder, open_ledger() as ledger:
        one, two = (_side(ledger, Path(folder), name, each) for each in (version, other))
        run(
            html,
            name,
            *(one.scores, two.scores, one.predictions, two.predictions),
            tests=_tests(one, two, Path(folder) / "tests.json"),
            dataset=dataset,
            champion_title=f"version {version}",
            challenger_title=f"version {other}",
        )
    made = {"name": name, "versions": [version, other], "output": str(html)}
    print(json.dumps(made, indent=2) if as_json else html)


class _Side:
    """A version's scores and answers as files."""

    def __init__(self, scores: Path, predictions: Path | None) -> None:
        self.scores = scores
        self.predictions = predictions


def _side(ledger: Ledger, folder: Path, name: str, version: int) -> _Side:
    scores = folder / f"{version}.json"
    ledger.scores_of(name, version).write(scores)
    return _Side(scores, ledger.predictions_of(name, version))


def _tests(one: _Side, two: _Side, tests: Path) -> Path | None:
    """Tests the one against the other; None where they were not asked the same rows."""
    if one.predictions is None or two.predictions is None:
        return None
    from wherry.evaluate.paired.run import run

    with suppress(DataError, DigestError):
        files = (one.scores, one.predictions, two.scores, two.predictions)
        run(*files, tests, '{"slices": true}')
        return tests
    return None
