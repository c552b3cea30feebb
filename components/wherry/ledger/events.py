"""Says what happened: one audit row a kind of change, not yet in the chain."""

from dataclasses import replace

from wherry.contracts import Approval, Deployment, Digest, Release, digest_bytes
from wherry.ledger.records import (
    Approved,
    AuditRow,
    Candidate,
    Decision,
    Deployed,
    Evidence,
    Input,
    Move,
    Named,
    Previous,
    Stage,
    Subject,
    Switch,
    Withdrawal,
)
from wherry.ledger.redaction import redact_text, redacted
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


def without_secrets(candidate: Candidate) -> Candidate:
    """Gives a candidate whose addresses name a place, and never a key to it."""
    lineage, dataset = candidate.lineage, candidate.dataset
    source = lineage.data_source
    return replace(
        candidate,
        lineage=replace(
            lineage,
            base_uri=redact_text(lineage.base_uri),
            data_source=replace(source, uri=redact_text(source.uri)),
        ),
        dataset=replace(
            dataset, source=replace(dataset.source, uri=redact_text(dataset.source.uri))
        )
        if dataset
        else None,
    )


def evidence_of(candidate: Candidate) -> Evidence:
    """Gives what a version is released on; the settings lose their secrets."""
    settings, names = redacted({"settings": candidate.settings})
    return Evidence(
        blessing=candidate.blessing,
        scores=candidate.scores,
        dataset=candidate.dataset,
        settings=settings["settings"],
        redactions=names,
    )


def staged(stage: Stage, outputs: tuple[Named, ...], error_code: str) -> AuditRow:
    """Says that a stage ran, and what came of it."""
    return AuditRow(
        action="stage",
        stage=replace(stage, outputs=outputs),
        outcome="failed" if error_code else "done",
        error_code=error_code,
        redactions=tuple(f"stage.parameters.{name}" for name in stage.redacted),
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


def register_key(name: str, digest: Digest) -> str:
    """Gives the event of a version's registration: one a name and digest."""
    return f"register:{name}:{digest}"


def approved(release: Release, approval: Approval) -> AuditRow:
    """Says that a person approved a version, and what that means."""
    return AuditRow(
        action="approve",
        model=_subject(release),
        approval=Approved(
            meaning=approval.meaning,
            policy_digest=approval.policy_digest,
            record_digest=digest_bytes(approval.to_json().encode()),
            role=approval.role,
            who=approval.who,
        ),
    )


def withdrawn(release: Release, action: Withdrawal, reason: str) -> AuditRow:
    """Says that a version was retired or revoked, and why."""
    return AuditRow(action=action, model=_subject(release), reason=reason)


def expired(release: Release, action: Withdrawal, reason: str, policy: Digest) -> AuditRow:
    """Says that a version's file was given up, and by which retention policy."""
    return replace(withdrawn(release, action, reason), retention=policy)


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
