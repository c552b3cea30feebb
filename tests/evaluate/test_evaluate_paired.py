"""Two models on the same rows: tests against published values, and verdicts that hold."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from wherry.contracts import Metric, PairedTests, Scores, digest_bytes
from wherry.contracts.errors import DataError, DigestError, FormatError
from wherry.contracts.files import write_atomic
from wherry.evaluate.estimates import Draws
from wherry.evaluate.measures.choice import measures_of
from wherry.evaluate.measures.measure import divided
from wherry.evaluate.paired import champion as room
from wherry.evaluate.paired import run as paired_run
from wherry.evaluate.paired.run import run
from wherry.evaluate.paired.settings import CompareSettings
from wherry.evaluate.paired.statistics import holm, mcnemar, paired_bootstrap
from wherry.evaluate.paired.step import Side, compare
from wherry.evaluate.predictions import Prediction, lines_of
from wherry.evaluate.slices import Slicing
from wherry.evaluate.step import quality

LABELS = ("a", "b", "c")
DATA = digest_bytes(b"data")


def _pairs(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    champion = [True] * (both + first) + [False] * (second + neither)
    challenger = [True] * both + [False] * first + [True] * second + [False] * neither
    return champion, challenger


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        # Fagerland, Lydersen & Laake, "Statistical Analysis of Contingency Tables" (2017),
        # chapter 8, Newcombe's square-and-add interval; Newcombe (1998), table II, method 10.
        ((1, 1, 7, 12), 0.0256, 0.5069),
        ((59, 6, 16, 80), 0.0046, 0.1186),
        ((36, 2, 12, 0), 0.0569, 0.3404),
    ],
)
def test_the_difference_of_paired_shares_has_the_published_interval(
    cells: tuple[int, int, int, int], low: float, high: float
) -> None:
    found = mcnemar(*_pairs(*cells))
    n = sum(cells)
    assert found.difference == pytest.approx((cells[2] - cells[1]) / n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [
        (5, 0, 2 / 2**5),
        (0, 0, 1.0),
        (3, 3, 1.0),
        (1, 9, 2 * (1 + 10) / 2**10),  # counted by hand: at most 1 of 10
    ],
)
def test_mcnemars_test_is_exact(first: int, second: int, p_value: float) -> None:
    assert mcnemar(*_pairs(30, first, second, 10)).p_value == pytest.approx(p_value)


def test_holm_corrects_the_smallest_most() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_bootstrap_of_two_models_that_are_one_finds_nothing() -> None:
    rows = np.array([[0.2, 1.0], [0.9, 1.0], [0.4, 1.0]] * 10)
    (found,) = paired_bootstrap(rows, rows, lambda s: s[:, :1] / s[:, 1:], Draws(1000, 0))
    assert found is not None
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [1, 5, 19, 20])
def test_a_bootstrap_of_too_few_rows_decides_nothing(n: int) -> None:
    better, worse = (np.tile([[right, 1.0]], (n, 1)) for right in (1.0, 0.0))
    (found,) = paired_bootstrap(
        worse, better, lambda s: divided(s[:, :1], s[:, 1:]), Draws(1000, 0)
    )
    assert (found is None) == (n < 20)


def test_a_number_that_some_draws_lack_is_unknown() -> None:
    # Thirty rows count, but all of the champion's number stands on one.
    champion, challenger = np.zeros((30, 2)), np.ones((30, 2))
    champion[0] = 1.0
    (found,) = paired_bootstrap(
        champion, challenger, lambda s: divided(s[:, :1], s[:, 1:]), Draws(1000, 0)
    )
    assert found is None


def test_pairing_sees_a_difference_that_two_lone_intervals_hide() -> None:
    random = np.random.default_rng(0)
    ease = random.random(100)
    ours = np.stack([ease + 0.02 + random.normal(0, 0.02, 100), np.ones(100)], axis=1)
    theirs = np.stack([ease, np.ones(100)], axis=1)
    (found,) = paired_bootstrap(theirs, ours, lambda s: s[:, :1] / s[:, 1:], Draws(2000, 0))
    assert found is not None
    assert 0 < found.low < found.difference < found.high < 0.03
    assert found.p_value == pytest.approx(2 / 2001)


def labelled(truth: str, guess: str) -> list[Prediction]:
    return [
        Prediction(f"r{n}", true, said, said, true == said, slices=(f"group={n % 2}",))
        for n, (true, said) in enumerate(zip(truth, guess, strict=True))
    ]


NAMES = ("accuracy", "label_accuracy", "macro_f1", "f1")


def side(made: list[Prediction], name: str, names: tuple[str, ...] = NAMES) -> Side:
    slicing = Slicing(("label", "group"))
    metrics = quality(made, measures_of(names, LABELS), LABELS, slicing, Draws(100, 0))
    digest = digest_bytes(lines_of(made))
    model = digest_bytes(name.encode())
    scores = Scores(name, model, model, DATA, "test", metrics, predictions_digest=digest)
    return Side(scores, made, digest)


TRUTH = "abc" * 30
GOOD, POOR = "abc" * 25 + "aaa" * 5, "abc" * 10 + "cab" * 20


def test_a_better_challenger_is_found_better_and_a_worse_one_worse() -> None:
    good, poor = side(labelled(TRUTH, GOOD), "good"), side(labelled(TRUTH, POOR), "poor")
    up, down = compare(poor, good, CompareSettings()), compare(good, poor, CompareSettings())
    assert {test.verdict for test in up.tests} == {"better"}
    assert {test.verdict for test in down.tests} == {"worse"}
    accuracy = up.find("accuracy")
    assert accuracy is not None
    assert (accuracy.champion, accuracy.challenger) == (
        pytest.approx(1 / 3),
        pytest.approx(80 / 90),
    )
    assert (accuracy.n, accuracy.method) == (90, "mcnemar")
    macro = up.find("macro_f1")
    assert macro is not None
    assert macro.method == "bootstrap"
    assert macro.low is not None and macro.difference is not None
    assert 0 < macro.low < macro.difference


@pytest.mark.parametrize("rare", [1, 19])
def test_a_class_of_few_rows_is_counted_by_them_and_undecided(rare: int) -> None:
    """The champion has every row of the rare class wrong, the challenger right."""
    truth = "ab" * 90 + "c" * rare
    names = ("f1", "recall", "macro_f1")
    champion, challenger = (
        side(labelled(truth, "ab" * 90 + said * rare), said, names) for said in "ac"
    )
    found = compare(champion, challenger, CompareSettings(slices=True, resamples=1000))
    for name in ("f1", "recall"):
        test = found.find(name, "c")
        assert test is not None
        assert (test.n, test.verdict, test.p_value) == (rare, "undecided", None)
    macro = found.find("macro_f1")
    assert macro is not None
    assert macro.n == 180 + rare


def test_a_class_of_enough_rows_is_decided_and_counted_by_label_and_answers() -> None:
    truth = "ab" * 90 + "c" * 25
    champion = side(labelled(truth, "ab" * 90 + "a" * 25), "champion", ("f1", "recall"))
    challenger = side(labelled(truth, "cb" * 5 + "ab" * 85 + "c" * 25), "next", ("f1", "recall"))
    found = compare(champion, challenger, CompareSettings(slices=True, resamples=1000))
    tests = [found.find(name, "c") for name in ("f1", "recall")]
    assert [(test.n, test.verdict) for test in tests if test] == [(30, "better"), (25, "better")]


def test_a_model_against_itself_is_undecided() -> None:
    one = side(labelled(TRUTH, GOOD), "one")
    found = compare(one, replace(one, scores=replace(one.scores, subject="two")), CompareSettings())
    assert {test.verdict for test in found.tests} == {"undecided"}
    assert {test.difference for test in found.tests} == {0.0}


def test_slices_are_tested_where_asked_and_each_test_more_makes_all_harder() -> None:
    good, poor = side(labelled(TRUTH, GOOD), "good"), side(labelled(TRUTH, POOR), "poor")
    few = compare(poor, good, CompareSettings(metrics=("accuracy",), resamples=1000))
    many = compare(poor, good, CompareSettings(slices=True, resamples=1000))
    assert [(t.metric, t.slice) for t in few.tests] == [("accuracy", "")]
    named = {(t.metric, t.slice): t for t in many.tests}
    assert ("f1", "b") in named
    assert ("macro_f1", "group=0") in named
    assert named["accuracy", "b"].n == 30
    assert named["accuracy", "group=1"].n == 45
    assert few.tests[0].p_value == named["accuracy", ""].p_value
    assert few.tests[0].adjusted_p == few.tests[0].p_value
    assert named["accuracy", ""].adjusted_p > few.tests[0].adjusted_p  # type: ignore[operator]  # both are known


def test_less_of_a_cost_is_better_and_of_refusals_neither() -> None:
    def scored(nats: float, refusals: float) -> list[Prediction]:
        terms = {"likelihood": (nats, 2.0, 4.0), "refusal_rate": (refusals,)}
        return [Prediction(f"r{n}", "", "", "", False, terms=terms) for n in range(20)]

    names = ("perplexity", "refusal_rate")

    def of(made: list[Prediction], name: str) -> Side:
        metrics = quality(made, measures_of(names, ()), (), Slicing(()), Draws(100, 0))
        scores = side(labelled(TRUTH, GOOD), name).scores
        digest = digest_bytes(lines_of(made))
        return Side(replace(scores, metrics=metrics, predictions_digest=digest), made, digest)

    found = compare(of(scored(3.0, 0.0), "a"), of(scored(2.0, 1.0), "b"), CompareSettings())
    perplexity, refusals = found.find("perplexity"), found.find("refusal_rate")
    assert perplexity is not None and refusals is not None
    assert (perplexity.verdict, perplexity.unit) == ("better", "per token")
    assert refusals.adjusted_p is not None and refusals.adjusted_p < 0.05
    assert refusals.verdict == "undecided"


def test_what_one_model_could_not_measure_is_undecided() -> None:
    good = side(labelled(TRUTH, GOOD), "good")
    mute = [replace(made, label_pick="") for made in labelled(TRUTH, POOR)]
    found = compare(side(mute, "mute"), good, CompareSettings()).find("label_accuracy")
    assert found is not None
    assert (found.verdict, found.difference, found.adjusted_p) == ("undecided", None, None)


def test_other_data_other_rows_and_other_files_are_refused() -> None:
    good, poor = side(labelled(TRUTH, GOOD), "good"), side(labelled(TRUTH, POOR), "poor")
    other = replace(poor, scores=replace(poor.scores, data_digest=digest_bytes(b"other")))
    with pytest.raises(DigestError, match="was asked data of digest"):
        compare(other, good, CompareSettings())
    with pytest.raises(DataError, match="asked 87 rows, the challenger 90"):
        compare(side(labelled(TRUTH[3:], POOR[3:]), "short"), good, CompareSettings())
    for digest in (digest_bytes(b"x"), None):
        changed = replace(poor, scores=replace(poor.scores, predictions_digest=digest))
        with pytest.raises(DigestError, match="its scores were counted from"):
            compare(good, changed, CompareSettings())
    with pytest.raises(DataError, match="no scores of bleu in common"):
        compare(poor, good, CompareSettings(metrics=("bleu",)))


def test_a_champion_that_is_better_is_never_replaced_by_noise() -> None:
    """Twenty challengers that are worse by a few points; none may be called better."""
    random = np.random.default_rng(11)
    truth = random.integers(0, 3, 300)

    def model(accuracy: float, name: str) -> Side:
        right = random.random(300) < accuracy
        guess = np.where(right, truth, (truth + random.integers(1, 3, 300)) % 3)
        letters = ("".join(LABELS[k] for k in row) for row in (truth, guess))
        return side(labelled(*letters), name)

    champion = model(0.85, "champion")
    settings = CompareSettings(resamples=1000)
    found = [compare(champion, model(0.80, f"c{n}"), settings) for n in range(20)]
    assert [t.verdict for tests in found for t in tests.tests].count("better") == 0
    # And the test is no blind one: it sees a challenger that is really better.
    seen = compare(champion, model(0.95, "better"), settings).find("accuracy")
    assert seen is not None
    assert seen.verdict == "better"


def test_the_stage_reads_files_and_writes_the_record(tmp_path: Path) -> None:
    for name, guess in (("champion", POOR), ("challenger", GOOD)):
        made = side(labelled(TRUTH, guess), name)
        made.scores.write(tmp_path / f"{name}.json")
        write_atomic(tmp_path / f"{name}.jsonl", lines_of(made.predictions))
    paths = [tmp_path / f"{n}{e}" for n in ("champion", "challenger") for e in (".json", ".jsonl")]
    found = run(*paths, tmp_path / "tests.json", '{"metrics": ["accuracy"]}')
    assert PairedTests.read(tmp_path / "tests.json") == found
    assert found.tests[0].verdict == "better"
    assert found.correction == "holm"
    (tmp_path / "champion.jsonl").write_bytes(b'{"id": 3}\n')
    with pytest.raises(FormatError, match="champion.jsonl, line 1, is no prediction"):
        run(*paths, tmp_path / "tests.json")


@dataclass(frozen=True)
class FakeLedger:
    """A release store with one live version, whose answers lie in a file."""

    live: Side
    answers: Path
    digest: str = digest_bytes(b"live")
    version: int = 1

    def exists(self, _: Path) -> bool:
        return True

    def open(self, _: Path) -> AbstractContextManager["FakeLedger"]:
        return nullcontext(self)

    def release_at_alias(self, *_: str) -> "FakeLedger":
        return self

    def scores_of(self, *_: object) -> Scores:
        return self.live.scores

    def predictions_of(self, *_: object) -> Path:
        write_atomic(self.answers, lines_of(self.live.predictions))
        return self.answers


def against(
    live: Side,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    dataset: Path | None = None,
) -> PairedTests:
    """Tests a good challenger against a live version."""
    good = side(labelled(TRUTH, GOOD), "good")
    good.scores.write(root / "scores.json")
    write_atomic(root / "made.jsonl", lines_of(good.predictions))
    monkeypatch.setattr(room, "Ledger", FakeLedger(live, root / "live.jsonl"))
    paths = (root / "scores.json", root / "made.jsonl", root / "tests.json")
    settings = json.dumps({"metrics": names, "resamples": 1000})
    return paired_run.run_against_champion("triage", *paths, settings, dataset, "{}")


def test_a_live_version_is_tested_by_the_answers_that_were_kept_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = against(side(labelled(TRUTH, POOR), "poor"), tmp_path, monkeypatch, "accuracy")
    assert [(test.metric, test.verdict) for test in found.tests] == [("accuracy", "better")]
    assert found.note == ""


@pytest.mark.parametrize(
    ("rows", "measure", "why"),
    [
        (87, "accuracy", "the champion was asked other rows"),
        (90, "recall", "the champion was scored by other measures"),
    ],
)
def test_a_live_version_of_other_rows_or_measures_is_not_tested_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, measure: str, why: str
) -> None:
    live = side(labelled(TRUTH[:rows], POOR[:rows]), "poor", (measure,))
    found = against(live, tmp_path, monkeypatch, "accuracy")
    assert PairedTests.read(tmp_path / "tests.json") == found
    assert (found.tests, found.note, found.champion_digest) == ((), why, FakeLedger.digest)


@pytest.mark.parametrize("rows", [87, 90])
def test_a_live_version_of_other_rows_is_asked_anew_where_the_data_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    asked: list[tuple[object, ...]] = []

    def asked_anew(*given: object) -> Side:
        asked.append(given)
        return side(labelled(TRUTH, POOR), "asked anew")

    monkeypatch.setattr(paired_run, "asked_anew", asked_anew)
    live = side(labelled(TRUTH[:rows], POOR[:rows]), "poor")
    found = against(live, tmp_path, monkeypatch, "accuracy", dataset=tmp_path)
    assert [(test.n, test.verdict) for test in found.tests] == [(90, "better")]
    assert found.champion_scores is not None
    assert found.champion_scores.subject == ("asked anew" if rows == 87 else "poor")
    assert [given[1:3] for given in asked] == ([(tmp_path, "{}")] if rows == 87 else [])


def test_a_measure_that_the_challenger_lacks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="no scores of bleu in common"):
        against(side(labelled(TRUTH, POOR), "poor"), tmp_path, monkeypatch, "bleu")


def test_a_metric_that_no_measure_makes_is_not_compared() -> None:
    one = side(labelled(TRUTH, GOOD), "one")
    sized = replace(
        one, scores=replace(one.scores, metrics=(*one.scores.metrics, Metric("size", 9, 1)))
    )
    assert compare(sized, sized, CompareSettings(resamples=1000)).find("size") is None
