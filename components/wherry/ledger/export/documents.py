"""Tells people about a version: its model card and the data sheet of what it learned from."""

from collections.abc import Iterable, Iterator
from typing import Final

import yaml

from wherry.contracts import Check, Dataset, Metric
from wherry.ledger.export.facts import Facts

NOT_RECORDED: Final = "Not recorded."
_SHOWN: Final = 100
"""Labels that a data sheet names."""


def model_card(facts: Facts) -> str:
    """Gives the model card, in the form of the Hugging Face Hub: YAML, then Markdown."""
    release, lineage = facts.release, facts.release.lineage
    head = {
        "base_model": lineage.base_uri,
        "library_name": "gguf",
        "tags": ["wherry", release.name],
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---",
        f"# {facts.title}",
        table(("what", "value"), _identity(facts)),
        "## Intended use",
        facts.intended_use or NOT_RECORDED,
        "## Made from",
        table(("what", "where", "SHA-256"), _origins(facts)),
        "## Evaluation",
        f"On the split `{facts.scores.split}` ({facts.scores.data_digest}), by the file that ships "
        "itself and its own chat template. Intervals are of 95 %.",
        table(("metric", "value", "interval", "n"), map(_scored, facts.headline)),
        *_slices(facts),
        "## Gate",
        f"Policy {facts.release.lineage.policy_digest}.",
        table(("asked", "seen", "verdict"), map(_judged, facts.evidence.blessing.checks)),
        "## Limitations",
        "The figures hold for data like that of the data sheet, and for nothing else.",
    ]
    return "\n\n".join(parts) + "\n"


def data_sheet(facts: Facts) -> str:
    """Gives the data sheet: where the data came from, what it holds, what was done to it."""
    source, data = facts.release.lineage.data_source, facts.evidence.dataset
    origin = (
        ("taken from", source.uri),
        ("revision", source.revision),
        ("path", source.path),
        ("source's checksum", source.checksum),
        ("digest", facts.release.lineage.data_digest),
        ("licence", data.licence if data else ""),
    )
    parts = [
        f"# Data of {facts.title}",
        "## Origin",
        table(("what", "value"), ((name, value or NOT_RECORDED) for name, value in origin)),
        *(_composition(data) if data else ("## Composition", NOT_RECORDED)),
    ]
    return "\n\n".join(parts) + "\n"


def _identity(facts: Facts) -> Iterator[tuple[str, str]]:
    release = facts.release
    yield "file", f"{facts.file_name}, {release.size:,} bytes"
    yield "SHA-256", release.digest
    yield "registered (UTC)", release.created
    yield "state", release.state
    yield "live as", ", ".join(release.aliases) or "nothing"
    yield "made by", f"wherry {release.lineage.code.version} {release.lineage.code.commit}".strip()
    for approval in facts.approvals:
        yield f"approved by {approval.who}", f"{approval.meaning} ({approval.given})"


def _origins(facts: Facts) -> Iterator[tuple[str, str, str]]:
    lineage = facts.release.lineage
    yield "base model", lineage.base_uri, lineage.base_digest
    yield "data", f"{lineage.data_source.uri} {lineage.data_source.revision}", lineage.data_digest
    yield "adapter", "", lineage.adapter_digest
    yield "settings of all stages", "", lineage.settings_digest


def _slices(facts: Facts) -> Iterator[str]:
    sliced = [metric for metric in facts.scores.metrics if metric.slice]
    if sliced:
        yield "By slice:"
        rows = ((metric.slice, *_scored(metric)) for metric in sliced)
        yield table(("slice", "metric", "value", "interval", "n"), rows)


def _scored(metric: Metric) -> tuple[str, str, str, str]:
    scale, unit = (1e6, "MB") if metric.unit == "bytes" else (1, metric.unit)
    value, interval = "not measured", ""
    if metric.value is not None:
        value = f"{metric.value / scale:.4g} {unit}".strip()
    if metric.low is not None and metric.high is not None:
        interval = f"{metric.low / scale:.4g} to {metric.high / scale:.4g}"
    return metric.name, value, interval, str(metric.n)


def _judged(check: Check) -> tuple[str, str, str]:
    asked = f"{check.rule} {check.metric} {check.slice}".strip()
    return asked, check.reason, "passed" if check.passed else "failed"


def _composition(data: Dataset) -> Iterator[str]:
    yield "## Composition"
    yield f"Rows of kind `{data.kind}`; {len(data.labels)} labels; {data.set_aside} rows set aside."
    if 0 < len(data.labels) <= _SHOWN:
        yield f"The labels: {', '.join(map(_cell, data.labels))}."
    splits = ((one.name, f"{one.rows:,}", one.digest) for one in data.splits)
    yield table(("split", "rows", "SHA-256"), splits)
    yield "## Preparation"
    steps = (
        (one.step, f"{one.rows:,}", f"{one.changed:,}", f"{one.dropped:,}", one.note)
        for one in data.cleaned
    )
    headings = ("step", "rows", "changed", "dropped", "note")
    yield table(headings, steps) if data.cleaned else "No step changed the rows."


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Gives a Markdown table; whatever its texts hold, they stay in their cells."""
    heads = list(headings)
    lines = [heads, ["---"] * len(heads), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Gives a text that stays in its cell: no new line, no column, no control character, no tag."""
    flat = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
