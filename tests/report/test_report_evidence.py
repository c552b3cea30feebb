from dataclasses import replace

import pytest

from tests.report.records import digest, evidence, refusal, refused, release
from wherry.contracts.errors import DigestError, GateRefusedError, MissingError

OTHER = digest("of another run")


@pytest.mark.parametrize(
    ("record", "field", "says"),
    [
        ("validation", "dataset_digest", "The validated data"),
        ("base", "data_digest", "the base model was scored on"),
        ("tuned", "data_digest", "the tuned model was scored on"),
        ("quantized", "data_digest", "the quantized model was scored on"),
        ("parity", "model_digest", "The file of the parity check"),
        ("blessing", "scores_digest", "The judged scores"),
        ("blessing", "model_digest", "The judged file"),
        ("paired", "challenger_digest", "The file compared with the champion"),
        ("release", "digest", "The released file"),
        ("deployment", "digest", "The deployed file"),
    ],
)
def test_records_of_two_runs_are_not_mixed(record: str, field: str, says: str) -> None:
    found = evidence()
    changed = replace(getattr(found, record), **{field: OTHER})
    with pytest.raises(DigestError, match=says) as raised:
        replace(found, **{record: changed})
    assert OTHER in str(raised.value)


def test_scores_that_changed_after_the_verdict_are_refused() -> None:
    found = evidence()
    better = replace(found.quantized.metrics[0], value=0.99)
    quantized = replace(found.quantized, metrics=(better, *found.quantized.metrics[1:]))
    with pytest.raises(DigestError, match="The judged scores"):
        replace(found, quantized=quantized)


def test_a_refused_model_has_no_release() -> None:
    with pytest.raises(GateRefusedError, match="icd10-triage version 3"):
        replace(evidence(), blessing=refusal(), deployment=None)


def test_scores_on_an_unknown_split_are_refused() -> None:
    found = evidence()
    with pytest.raises(MissingError, match="'holdout'"):
        replace(found, base=replace(found.base, split="holdout"))


def test_a_refused_run_and_one_that_only_released_are_whole() -> None:
    assert refused().release is None
    assert replace(evidence(), deployment=None).release == release()
