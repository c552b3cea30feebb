"""Says what happened: one audit row a kind of change, not yet in the chain."""

from dataclasses import replace

from wherry.contracts import Deployment, Digest, Release, digest_bytes
from wherry.ledger.records import (
    AuditRow,
    Candidate,
    Decision,
    Deployed,
    Input,
    Move,
    Previous,
    Subject,
    Switch,
)
from wherry.ledger.rules import shipped_scores


def release_of(candidate: Candidate, version: int, created: str) -> Release:
    """Gives the version that a candidate becomes."""
    return Release(
        name=candidate.name,
        version=version,
        digest=candidate.digest,
        uri=candidate.uri,
        size=candidate.size,
        state="registered",
        created=created,
        lineage=candidate.lineage,
    )


def pair_digest(record: str, evidence: str) -> Digest:
    """Gives the digest of a version as stored: its record, a line feed, its evidence."""
    return digest_bytes(f"{record}\n{evidence}".encode())


def registered(release: Release, candidate: Candidate, record_digest: Digest) -> AuditRow:
    """Says that a version was made, from what, and on what evidence."""
    lineage = release.lineage
    source = lineage.data_source
    return AuditRow(
        action="register",
        model=replace(_subject(release), record_digest=record_digest),
        inputs=(
            Input("data", lineage.data_digest, source.uri, source.revision),
            Input("base", lineage.base_digest, lineage.base_uri),
            Input("adapter", lineage.adapter_digest),
        ),
        code=lineage.code,
        metrics=tuple(m for m in shipped_scores(candidate.scores).metrics if not m.slice),
        gate=Decision(True, lineage.blessing_digest, lineage.policy_digest),
    )


def switched(
    asked: Switch, release: Release, moves: tuple[Move, ...], previous: Previous | None
) -> AuditRow:
    """Says that an alias was moved, from where, and why."""
    return AuditRow(
        action=asked.action,
        model=_subject(release),
        moves=moves,
        previous=previous,
        reason=asked.reason,
    )


def deployed(deployment: Deployment) -> AuditRow:
    """Says what runs where."""
    return AuditRow(
        action="deploy",
        model=Subject(deployment.name, deployment.version, deployment.digest),
        deploy=Deployed(
            target=deployment.target,
            url=deployment.url,
            generation=deployment.generation,
            healthy=deployment.healthy,
            record_digest=digest_bytes(deployment.to_json().encode()),
        ),
    )


def _subject(release: Release) -> Subject:
    return Subject(release.name, release.version, release.digest)
