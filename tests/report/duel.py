"""A champion and a challenger with plausible scores, answers and a ladder."""

import random
from dataclasses import replace

from tests.report.records import LABELS, digest, evidence
from wherry.contracts import Metric, PairedTest, PairedTests, Scores
from wherry.contracts.ladder import Ladder, Rung
from wherry.report.versus.evidence import Asked, Said, Side, Versus


def side(title: str, model: str, shift: float) -> Side:
    """One of the two: the scores of a run, shifted, and answers to 60 rows."""
    answers = digest(f"{model} answers")
    scores = replace(evidence().quantized, model_digest=digest(model), predictions_digest=answers)
    metrics = tuple(_shifted(found, shift) for found in scores.metrics)
    return Side(title, replace(scores, metrics=metrics), _said(model, 0.7 + shift))


def _shifted(found: Metric, shift: float) -> Metric:
    if found.unit or found.value is None:
        return found
    ends = (min(1.0, max(0.0, end + shift)) if end is not None else None
            for end in (found.value, found.low, found.high))  # fmt: skip
    value, low, high = ends
    return replace(found, value=value, low=low, high=high)


def _said(model: str, right: float) -> dict[str, Said]:
    luck = random.Random(model)
    said = {}
    for row in rows():
        correct = luck.random() < right
        said[row.id] = Said(row.wanted if correct else luck.choice(LABELS), correct)
    return said


def rows() -> list[Asked]:
    """Sixty questions."""
    return [
        Asked(f"r{number}", f"Condition number {number} of the list", LABELS[number % len(LABELS)])
        for number in range(60)
    ]


def _test(metric: str, slice: str, difference: float, p: float) -> PairedTest:
    verdict = "undecided" if p > 0.05 else "better" if difference > 0 else "worse"
    return PairedTest(
        *(metric, slice, 420, 0.7, 0.7 + difference, difference),
        *(difference - 0.03, difference + 0.04, p, min(1.0, 2 * p), "mcnemar", verdict),  # type: ignore[arg-type] # one of its literals
    )


def ladder() -> Ladder:
    """Four types, one of which fails."""
    seen = (
        ("Q8_0", 145e6, 0.97, 0.007, 38.0),
        ("Q6_K", 138e6, 0.95, 0.02, 40.0),
        ("Q4_K_M", 105e6, 0.88, 0.09, 41.0),
        ("Q4_0", 92e6, 0.71, 0.5, 55.0),
    )
    rungs = tuple(
        Rung(
            *(kind, f"m.{kind}.gguf", digest(kind), int(size), 7.0, 15.9 + kl, kl / 10, kl, same),
            passed=same > 0.8,
            reasons=() if same > 0.8 else ("KL 0.5 is above 0.2",),
            decode_speed=speed,
            peak_memory=int(size * 1.6),
        )
        for kind, size, same, kl, speed in seen
    )
    return Ladder(
        *(rungs, "Q4_K_M", "smallest that passes", digest("f16"), 271_000_000, digest("eval"), 512)
    )


def versus() -> Versus:
    """A challenger that is better in most."""
    champion, challenger = side("version 3", "old", 0.0), side("version 4", "new", 0.05)
    tests = [_test("accuracy", "", 0.05, 0.004), _test("label_accuracy", "", 0.01, 0.4)]
    tests += [
        _test("accuracy", label, (number % 5 - 2) / 20, 0.01 if number == 5 else 0.3)
        for number, label in enumerate(LABELS)
    ]
    paired = PairedTests(
        champion.scores.model_digest,
        challenger.scores.model_digest,
        champion.scores.data_digest,
        tuple(tests),
        digest("old answers"),
        digest("new answers"),
    )
    return Versus("icd10-triage", champion, challenger, paired, rows(), ladder())


def other_data(found: Versus) -> Versus:
    """The same, where the champion was asked other rows."""
    scores: Scores = replace(found.champion.scores, data_digest=digest("other"))
    return replace(
        found, champion=Side(found.champion.title, scores, {}), paired=None, rows=(), ladder=None
    )
