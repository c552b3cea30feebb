"""The judge on files: what it takes, what it refuses, and a real small judge."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import judging
from tests.serve.served import free_port, smollm2, start, wait_ready
from wherry.contracts import (
    Dataset,
    Manifest,
    Message,
    Row,
    Scores,
    Source,
    Split,
    digest_bytes,
    digest_file,
)
from wherry.contracts.errors import (
    DataError,
    DigestError,
    FormatError,
    InterruptedRunError,
    MissingError,
    SettingsError,
)
from wherry.evaluate.judge import run as room
from wherry.evaluate.judge.step import Judgements
from wherry.evaluate.opening import Opened
from wherry.evaluate.predictions import Prediction, lines_of

ROWS = [
    Row(f"r{n}", (Message("user", f"Question {n}?"), Message("assistant", f"Answer {n}.")))
    for n in range(4)
]


@dataclass(frozen=True)
class World:
    """Files of two evaluations on one data set."""

    root: Path

    def run(self, **options: Any) -> Scores:
        settings = options.pop("settings", {})
        return room.run(
            self.root / "data",
            self.root / "champion.json",
            self.root / "champion.jsonl",
            self.root / "challenger.json",
            self.root / "challenger.jsonl",
            self.root / "judgements.json",
            self.root / "scores.json",
            settings=json.dumps(settings),
            **{"url": "http://judge", **options},
        )


def answers(folder: Path, subject: str, texts: list[str], data: str) -> None:
    made = [Prediction(row.id, "", text, "", False) for row, text in zip(ROWS, texts, strict=True)]
    (folder / f"{subject}.jsonl").write_bytes(lines_of(made))
    Scores(
        subject=subject,
        model_digest=digest_bytes(subject.encode()),
        template_digest=digest_bytes(b"template"),
        data_digest=data,
        split="test",
        metrics=(),
        predictions_digest=digest_file(folder / f"{subject}.jsonl"),
    ).write(folder / f"{subject}.json")


@pytest.fixture
def world(tmp_path: Path) -> World:
    import msgspec

    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "test.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in ROWS))
    split = Split("test", path.name, len(ROWS), digest_file(path))
    source = Source("dvc:.", "", "data", "md5:0")
    Dataset("chat", (split,), digest_bytes(b"data"), source).write(folder / "dataset.json")
    Manifest.seal(folder)
    answers(tmp_path, "champion", ["bad"] * 4, split.digest)
    answers(tmp_path, "challenger", ["good", "good", "good", "bad"], split.digest)
    return World(tmp_path)


def opened(says: Any, digest: str = "") -> Any:
    judge = judging.FakeJudge(says)
    found = Opened(judge, "judge-1", digest or digest_bytes(b"judge"), verified=False)
    return lambda *_: found


def better(prompt: str) -> str:
    first, second = prompt.index("\ngood\n"), prompt.index("\nbad\n")
    return f"Verdict: {'A' if first < second else 'B'}"


def fair(prompt: str) -> str:
    return better(prompt) if "\ngood\n" in prompt else "Verdict: tie"


def test_wins_are_scores_of_the_challenger_and_judgements_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "open_answerer", opened(fair))
    scores = world.run()
    assert Scores.read(world.root / "scores.json") == scores
    assert scores.model_digest == Scores.read(world.root / "challenger.json").model_digest
    win, tie = scores.find("judge_win_rate"), scores.find("judge_tie_rate")
    assert win and tie
    assert (win.value, win.n, tie.value) == (0.75, 4, 0.25)
    kept = Judgements.read(world.root / "judgements.json")
    assert [each.winner for each in kept.judgements] == ["challenger"] * 3 + ["tie"]
    assert (kept.judge, kept.judge_verified, kept.rubric) == ("judge-1", False, "helpful-1")
    assert kept.champion_digest == Scores.read(world.root / "champion.json").model_digest


@pytest.mark.parametrize("verified", [True, False])
def test_the_scores_say_whether_the_challengers_digest_was_verified(
    world: World, monkeypatch: pytest.MonkeyPatch, verified: bool
) -> None:
    path = world.root / "challenger.json"
    replace(Scores.read(path), model_verified=verified).write(path)
    monkeypatch.setattr(room, "open_answerer", opened(fair))
    assert world.run().model_verified is verified


def test_a_rubric_of_ones_own_is_told_to_the_judge_and_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rubric = world.root / "rubric.yaml"
    rubric.write_text("name: mine-2\nquestion: Which is bluer?\ncriteria: [It is blue.]\n")
    heard: list[str] = []
    monkeypatch.setattr(room, "open_answerer", opened(lambda text: heard.append(text) or ""))
    world.run(rubric=rubric)
    assert all("Which is bluer?" in text for text in heard)
    kept = Judgements.read(world.root / "judgements.json")
    assert (kept.rubric, kept.rubric_digest) == ("mine-2", digest_file(rubric))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: mine\nquestion: Which?\n", "criteria"),
        ("name: mine\nquestion: Which?\ncriteria: []\n", "must each say something"),
        ("name: mine\nquestion: ' '\ncriteria: [x]\n", "must each say something"),
        ("name: mine\nquestion: Which?\ncriteria: [x]\nweight: 3\n", "weight"),
        ("[1, 2", "no YAML"),
        ("", "no rubric"),
    ],
)
def test_a_rubric_that_says_nothing_is_refused(world: World, text: str, said: str) -> None:
    rubric = world.root / "rubric.yaml"
    rubric.write_text(text)
    with pytest.raises(SettingsError, match=said):
        world.run(rubric=rubric)


def test_what_one_judge_said_serves_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    def judgements_asked(name: str, template: bytes) -> int:
        heard: list[str] = []
        judge = judging.FakeJudge(lambda text: heard.append(text) or fair(text))
        monkeypatch.setattr(
            judging.FakeJudge, "template_digest", property(lambda _: digest_bytes(template))
        )
        found = Opened(judge, name, digest_bytes(b"judge"), verified=False)
        monkeypatch.setattr(room, "open_answerer", lambda *_: found)
        # The answers are kept, and then somebody stops the run.
        monkeypatch.setattr(room.Judgements, "write", cut_short)
        with pytest.raises(InterruptedRunError):
            world.run()
        return len(heard)

    assert judgements_asked("http://one", b"template") == 2 * len(ROWS)
    assert judgements_asked("http://one", b"template") == 0
    # Nobody checks the digest of either server: both may say the same.
    assert judgements_asked("http://other", b"template") == 2 * len(ROWS)
    assert judgements_asked("http://other", b"another template") == 2 * len(ROWS)


def test_the_verdict_says_how_much_could_not_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unclear(prompt: str) -> str:
        return fair(prompt) if "Question 1" in prompt else "Verdict: a draw"

    monkeypatch.setattr(room, "open_answerer", opened(unclear))
    world.run()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("wins 25%, losses 0%, unreadable 75%, same in both orders 100%")


def test_people_are_compared_with_the_judge(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "open_answerer", opened(fair))
    people = world.root / "people.jsonl"
    said = [{"id": "r0", "winner": "challenger"}, {"id": "r1", "winner": "champion"}]
    people.write_text("".join(json.dumps(one) + "\n" for one in said))
    agreed = world.run(people=people).find("judge_human_agreement")
    assert agreed and (agreed.value, agreed.n) == (0.5, 2)
    people.write_text('{"id": "r0", "winner": "me"}\n')
    with pytest.raises(FormatError, match="Line 1 of what people said"):
        world.run(people=people)
    # Which of two opinions counts is not for us to choose.
    people.write_text('{"id": "r0", "winner": "tie"}\n{"id": "r0", "winner": "champion"}\n')
    with pytest.raises(FormatError, match="Line 2 of what people said .* same row"):
        world.run(people=people)


def test_a_judge_of_its_own_case_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "open_answerer", opened(fair, digest_bytes(b"challenger")))
    with pytest.raises(SettingsError, match="one of the two models"):
        world.run()
    assert not (world.root / "scores.json").exists()


def test_there_is_no_judge_unless_one_is_named(world: World) -> None:
    with pytest.raises(SettingsError, match="got neither"):
        world.run(url="")


def test_answers_that_the_scores_were_not_counted_from_are_refused(world: World) -> None:
    path = world.root / "champion.jsonl"
    path.write_bytes(path.read_bytes().replace(b"bad", b"bat"))
    with pytest.raises(DigestError, match=r"champion\.jsonl is not what"):
        world.run()


def test_scores_of_other_data_are_refused(world: World) -> None:
    path = world.root / "champion.json"
    replace(Scores.read(path), data_digest=digest_bytes(b"other")).write(path)
    with pytest.raises(DigestError, match="scores of champion are of data"):
        world.run()


def test_a_row_without_an_answer_is_refused(world: World) -> None:
    path = world.root / "champion.jsonl"
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[1:]) + b"\n")
    scores = Scores.read(world.root / "champion.json")
    replace(scores, predictions_digest=digest_file(path)).write(world.root / "champion.json")
    with pytest.raises(MissingError, match="The champion has no answer to row r0"):
        world.run()


def test_models_that_were_asked_for_no_answer_are_not_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on plain text, or where perplexity alone was measured."""
    monkeypatch.setattr(room, "open_answerer", opened(lambda _: pytest.fail("was asked")))
    for subject in ("champion", "challenger"):
        data = Scores.read(world.root / f"{subject}.json").data_digest
        answers(world.root, subject, [""] * 4, data)
    with pytest.raises(DataError, match="nothing to judge"):
        world.run()


@pytest.mark.local
@pytest.mark.slow
def test_a_real_server_judges_by_openais_protocol(world: World) -> None:
    port = free_port()
    process = start(smollm2(), port, "--context", "1024")
    try:
        served = wait_ready(process, port)
        endpoint = {"digest": digest_file(smollm2())}
        settings = {"rows": 1, "asking": {"max_new_tokens": 24, "endpoint": endpoint}}
        scores = world.run(url=f"{served.url}/openai/v1", settings=settings)
    finally:
        process.terminate()
        process.wait(10)
    kept = Judgements.read(world.root / "judgements.json")
    assert kept.judge_digest == digest_file(smollm2())
    assert [each.id for each in kept.judgements] == ["r0"]
    # How well so small a model judges is no promise; that every row is accounted for is one.
    names = ("judge_win_rate", "judge_loss_rate", "judge_tie_rate", "judge_unreadable_rate")
    rates = [found.value for name in names if (found := scores.find(name))]
    assert len(rates) == 4 and sum(rate or 0 for rate in rates) == pytest.approx(1)
