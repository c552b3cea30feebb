"""Turns a version into a bill of materials: CycloneDX 1.6 with its model card.

Written here and not by CycloneDX's library, which leaves out the model card when it writes what
it read; the tests hold it against the library's strict schema.
"""

import uuid
from typing import Any, Final

from wherry.contracts import Lineage, Metric
from wherry.ledger.export.facts import Facts, hexadecimal

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/wherry-ml/wherry")


def bill(facts: Facts) -> dict[str, Any]:
    """Gives the bill of materials; of the same version always the same."""
    release, lineage = facts.release, facts.release.lineage
    parts = [_data(facts), _base(facts), _adapter(facts)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, release.digest)}",
        "version": release.version,
        "metadata": {
            "timestamp": facts.registered.ts,
            "tools": {
                "components": [
                    {"type": "application", "name": "wherry", "version": lineage.code.version}
                ]
            },
            "component": _model(facts),
        },
        "components": parts,
        "dependencies": [{"ref": "model", "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _model(facts: Facts) -> dict[str, Any]:
    release = facts.release
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": release.name,
        "version": str(release.version),
        "hashes": _hashes(release.digest),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "datasets": [{"ref": "data"}],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [_metric(one) for one in facts.scores.metrics]
            },
        },
        "properties": [
            _property("uri", release.uri),
            _property("size", str(release.size)),
            _property("settings", release.lineage.settings_digest),
            _property("policy", release.lineage.policy_digest),
            _property("blessing", release.lineage.blessing_digest),
        ],
    }


def _metric(metric: Metric) -> dict[str, Any]:
    described: dict[str, Any] = {"type": metric.name, "value": _number(metric.value)}
    if metric.slice:
        described["slice"] = metric.slice
    if metric.low is not None and metric.high is not None:
        described["confidenceInterval"] = {
            "lowerBound": _number(metric.low),
            "upperBound": _number(metric.high),
        }
    return described


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.6g}"


def _data(facts: Facts) -> dict[str, Any]:
    lineage, data = facts.release.lineage, facts.evidence.dataset
    source = lineage.data_source
    part: dict[str, Any] = {
        "type": "data",
        "bom-ref": "data",
        "name": source.path or source.uri,
        "version": source.revision or source.checksum,
        "hashes": _hashes(lineage.data_digest),
        "properties": [_property("uri", source.uri), _property("checksum", source.checksum)],
    }
    if data and data.licence:
        part["licenses"] = [{"license": {"name": data.licence}}]
    return part


def _base(facts: Facts) -> dict[str, Any]:
    notes = {"notes": "The model that was tuned."}
    return {"bom-ref": "base", **_base_model(facts.release.lineage), "pedigree": notes}


def _base_model(lineage: Lineage) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "name": lineage.base_uri,
        "hashes": _hashes(lineage.base_digest),
    }


def _adapter(facts: Facts) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": "adapter",
        "name": f"{facts.release.name}-adapter",
        "hashes": _hashes(facts.release.lineage.adapter_digest),
        "pedigree": {"ancestors": [_base_model(facts.release.lineage)]},
    }


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hexadecimal(digest)}]


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"wherry:{name}", "value": value}
