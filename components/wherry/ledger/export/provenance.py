"""Says how a version was built: SLSA provenance (https://slsa.dev/spec/v1.0/provenance)."""

from typing import Any, Final

from wherry.ledger.export.facts import Facts, hexadecimal

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
SLSA: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://github.com/wherry-ml/wherry/blob/main/docs/audit/README.md#build-type"


def statement(subjects: list[dict[str, Any]], kind: str, predicate: Any) -> dict[str, Any]:
    """Gives an in-toto statement (https://github.com/in-toto/attestation).

    Args:
        subjects: what it is about, as `subject` gives them.
        kind: the predicate's type, a URI.
        predicate: what it says.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": kind,
        "predicate": predicate,
    }


def subject(name: str, digest: str) -> dict[str, Any]:
    """Gives a file as statements name it."""
    return {"name": name, "digest": {"sha256": hexadecimal(digest)}}


def provenance(facts: Facts) -> dict[str, Any]:
    """Gives the statement on how the model's file came about."""
    predicate = {"buildDefinition": _definition(facts), "runDetails": _run(facts)}
    return statement([subject(facts.file_name, facts.release.digest)], SLSA, predicate)


def _definition(facts: Facts) -> dict[str, Any]:
    lineage = facts.release.lineage
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "name": facts.release.name,
            "base": lineage.base_uri,
            "data": {"uri": lineage.data_source.uri, "revision": lineage.data_source.revision},
            "settings": facts.settings,
            "settingsDigest": lineage.settings_digest,
        },
        "internalParameters": {
            "chatTemplateDigest": lineage.template_digest,
            "policyDigest": lineage.policy_digest,
        },
        "resolvedDependencies": _dependencies(facts),
    }


def _dependencies(facts: Facts) -> list[dict[str, Any]]:
    lineage = facts.release.lineage
    source, code = lineage.data_source, lineage.code
    made_of = [
        {"name": "data", "uri": source.uri, **_digest(lineage.data_digest)},
        {"name": "base model", "uri": lineage.base_uri, **_digest(lineage.base_digest)},
        {"name": "adapter", **_digest(lineage.adapter_digest)},
    ]
    if code.commit:
        changed = {"annotations": {"uncommittedChanges": True}} if code.dirty else {}
        made_of.append({"name": "code", "digest": {"gitCommit": code.commit}, **changed})
    return made_of


def _run(facts: Facts) -> dict[str, Any]:
    row = facts.registered
    versions = {"wherry": facts.release.lineage.code.version}
    if row.environment:
        versions["python"] = row.environment.python
    platform = row.run.platform if row.run else "local"
    details: dict[str, Any] = {
        "builder": {"id": f"{BUILD_TYPE.partition('#')[0]}#{platform}", "version": versions},
        # In-toto's timestamps end in Z alone.
        "metadata": {"finishedOn": row.ts.replace("+00:00", "Z")},
        "byproducts": [
            {"name": "scores", **_digest(facts.release.lineage.scores_digest)},
            {"name": "blessing", **_digest(facts.release.lineage.blessing_digest)},
        ],
    }
    if row.run and row.run.id:
        details["metadata"]["invocationId"] = row.run.id
    if row.environment and row.environment.image:
        image = {"name": "image", "uri": row.environment.image}
        details["builder"]["builderDependencies"] = [image]
    return details


def _digest(digest: str) -> dict[str, Any]:
    return {"digest": {"sha256": hexadecimal(digest)}}
