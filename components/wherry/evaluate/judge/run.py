"""Wires the judge: two models' answers and a rubric in, judgements and scores out."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec
import yaml

from wherry import strict_yaml
from wherry.contracts import (
    Dataset,
    Digest,
    Manifest,
    Metric,
    Row,
    Scores,
    digest_bytes,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    DataError,
    DigestError,
    FormatError,
    MissingError,
    SettingsError,
)
from wherry.evaluate.estimates import Draws
from wherry.evaluate.judge.settings import JudgeSettings, Rubric
from wherry.evaluate.judge.step import (
    WINNERS,
    Duel,
    Judgement,
    Judgements,
    Winner,
    judge,
    metrics_of,
)
from wherry.evaluate.memory import RememberingAnswerer, memory_beside
from wherry.evaluate.opening import Opened, open_answerer
from wherry.evaluate.predictions import Prediction, read_predictions
from wherry.progress import stage


def run(
    dataset: Path,
    champion: Path,
    champion_predictions: Path,
    challenger: Path,
    challenger_predictions: Path,
    judgements: Path,
    scores: Path,
    url: str = "",
    model: Path | None = None,
    base: Path | None = None,
    rubric: Path | None = None,
    people: Path | None = None,
    settings: str = "",
) -> Scores:
    """Has a third model compare two models' answers; killed, the same call goes on where it was.

    Args:
        dataset: the folder of the `Dataset` that both were asked.
        champion: the `Scores` of the model in use.
        champion_predictions: its answers, as evaluate wrote them.
        challenger: the `Scores` of the new model.
        challenger_predictions: its answers.
        judgements: where to write the `Judgements`.
        scores: where to write the `Scores`; they are the challenger's.
        url: of the judge's server, in OpenAI's protocol; or
        model: the folder of a judge that is loaded here.
        base: the folder of its base, if it is an adapter.
        rubric: a `Rubric` in YAML; the package's own without it.
        people: what people said of rows: JSON Lines with ``id`` and ``winner``.
        settings: a `JudgeSettings` as JSON.
    """
    with stage("judge") as report:
        chosen = read_settings(JudgeSettings, settings)
        told, told_digest = _rubric(rubric)
        asked = (Scores.read(champion), Scores.read(challenger))
        rows = _rows(dataset, asked, chosen)
        duels = _duels(rows, asked, champion_predictions, challenger_predictions)
        opinions = _people(people)
        opened = open_answerer(model, base, url, chosen.asking)
        _check_stranger(opened, asked)
        memory = memory_beside(judgements, _owner(opened, chosen))
        answerer = RememberingAnswerer(opened.answerer, memory)
        made = judge(duels, told, answerer, chosen.read, report)
        metrics = metrics_of(made, opinions, Draws(chosen.resamples, chosen.seed))
        found = _scores(asked[1], metrics, chosen.split, opened)
        _record(opened, told.name, told_digest, asked, made).write(judgements)
        found.write(scores)
        memory.forget()
        report.verdict(_verdict(found))
    return found


def _owner(judge: Opened, settings: JudgeSettings) -> str:
    """Gives what judgements hang on besides the prompt."""
    return f"{judge.identity} {msgspec.json.encode(settings.asking).decode()}"


def _rubric(path: Path | None) -> tuple[Rubric, Digest]:
    """Reads a rubric, and gives its file's digest too."""
    packaged = resources.files(__package__).joinpath("rubric.yaml")
    text = path.read_bytes() if path else packaged.read_bytes()
    where = path.name if path else "the package's rubric"
    try:
        values = strict_yaml.load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where} is no YAML: {error}.", remedy="Correct it.") from error
    if not isinstance(values, dict):
        raise SettingsError(
            f"{where} holds no rubric, expected name, question and criteria.", remedy="Correct it."
        )
    return read_settings(Rubric, values, where=where), digest_bytes(text)


def _rows(dataset: Path, asked: Sequence[Scores], settings: JudgeSettings) -> list[Row]:
    Manifest.verified(dataset)
    data = Dataset.read(dataset / DATASET_NAME)
    wanted = data.split(settings.split).digest
    for scores in asked:
        if scores.data_digest != wanted:
            raise DigestError(
                f"The scores of {scores.subject} are of data {scores.data_digest}, expected "
                f"{wanted}.",
                remedy="Evaluate both models on this split.",
            )
    return data.rows(dataset, settings.split)[: settings.rows or None]


def _duels(
    rows: Sequence[Row], asked: Sequence[Scores], champion: Path, challenger: Path
) -> list[Duel]:
    before, after = (
        _answers(scores, path) for scores, path in zip(asked, (champion, challenger), strict=True)
    )
    duels = [
        Duel(
            row.id,
            row.prompt,
            _answer(before, row, "champion"),
            _answer(after, row, "challenger"),
            row.completion,
        )
        for row in rows
    ]
    if not any(duel.champion or duel.challenger for duel in duels):
        raise DataError(
            "Neither model has answered a single row: there is nothing to judge.",
            remedy="Evaluate conversations, with a measure that asks for answers, such as "
            "exact_match.",
        )
    return duels


def _answers(scores: Scores, path: Path) -> dict[str, Prediction]:
    if digest_bytes(path.read_bytes()) != scores.predictions_digest:
        raise DigestError(
            f"{path.name} is not what the scores of {scores.subject} were counted from.",
            remedy="Hand over scores and predictions of one evaluation.",
        )
    return {made.id: made for made in read_predictions(path)}


def _answer(made: dict[str, Prediction], row: Row, whose: str) -> str:
    if row.id not in made:
        raise MissingError(
            f"The {whose} has no answer to row {row.id}.", remedy="Evaluate it on all rows."
        )
    return made[row.id].answer


def _people(path: Path | None) -> dict[str, Winner]:
    found: dict[str, Winner] = {}
    for number, line in enumerate(path.read_bytes().splitlines() if path else (), start=1):
        try:
            said = msgspec.json.decode(line, type=dict[str, str])
            if said["winner"] not in WINNERS:
                raise ValueError(f"winner must be one of {', '.join(WINNERS)}")
            if said["id"] in found:
                raise ValueError("an earlier line is of the same row; agree on one opinion")
            found[said["id"]] = msgspec.convert(said["winner"], Winner)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise FormatError(
                f"Line {number} of what people said cannot be read: {error}.",
                remedy='Write {"id": "…", "winner": "champion" | "challenger" | "tie"} a line.',
            ) from error
    return found


def _check_stranger(opened: Opened, asked: Sequence[Scores]) -> None:
    """Refuses a judge in its own case: models prefer what they wrote themselves."""
    if opened.digest in {scores.model_digest for scores in asked}:
        raise SettingsError(
            f"The judge {opened.name} is one of the two models that it would judge.",
            remedy="Choose another judge.",
        )


def _scores(challenger: Scores, metrics: tuple[Metric, ...], split: str, judge: Opened) -> Scores:
    return Scores(
        subject="challenger",
        model_digest=challenger.model_digest,
        template_digest=challenger.template_digest,
        data_digest=challenger.data_digest,
        split=split,
        metrics=metrics,
        engine=f"judge {judge.name}",
        model_verified=challenger.model_verified,
    )


def _record(
    judge: Opened,
    rubric: str,
    rubric_digest: Digest,
    asked: Sequence[Scores],
    made: Sequence[Judgement],
) -> Judgements:
    champion, challenger = asked
    return Judgements(
        judge=judge.name,
        judge_digest=judge.digest,
        judge_verified=judge.verified,
        rubric=rubric,
        rubric_digest=rubric_digest,
        champion_digest=champion.model_digest,
        challenger_digest=challenger.model_digest,
        data_digest=challenger.data_digest,
        judgements=tuple(made),
    )


def _verdict(scores: Scores) -> str:
    words = [
        f"{words} {100 * found.value:.0f}%"
        for name, words in (
            ("judge_win_rate", "wins"),
            ("judge_loss_rate", "losses"),
            ("judge_unreadable_rate", "unreadable"),
            ("judge_position_consistency", "same in both orders"),
        )
        if (found := scores.find(name)) and found.value is not None
    ]
    return ", ".join(words)
