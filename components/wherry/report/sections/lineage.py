"""Lineage: the chain from data and base model to what is live, each link by its digest."""

from dataclasses import dataclass

from wherry.contracts.digest import digest_record
from wherry.contracts.release import Lineage
from wherry.page.view import Fact, Signpost
from wherry.page.words import moment, plural, size
from wherry.report.evidence import Evidence


@dataclass(frozen=True)
class Link:
    """One link of the chain."""

    title: str
    made: str
    """How it came of the link before, in a few words."""
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class LineageSection:
    """What the template shows of the lineage."""

    signpost: Signpost
    links: tuple[Link, ...]
    agreements: tuple[str, ...]
    """What was checked to be the same bytes."""


def lineage_section(evidence: Evidence) -> LineageSection:
    """Gives the chain: from the release's own lineage, or from what a refused run left."""
    links = (
        _data(evidence),
        _base(evidence),
        _tuned(evidence),
        _file(evidence),
        _judged(evidence),
        *_released(evidence),
    )
    count = sum(bool(fact.digest) for link in links for fact in link.facts)
    return LineageSection(
        Signpost("lineage", "Lineage", "none", f"{plural(count, 'digest')} recorded"),
        links,
        evidence.agreements,
    )


def _lineage(evidence: Evidence) -> Lineage | None:
    return evidence.release.lineage if evidence.release else None


def _some(*facts: Fact) -> tuple[Fact, ...]:
    return tuple(fact for fact in facts if fact.value or fact.digest)


def _data(evidence: Evidence) -> Link:
    source = evidence.dataset.source
    facts = _some(
        Fact("Data set", "", digest=evidence.dataset.digest),
        Fact("Taken from", source.uri),
        Fact("Path", source.path),
        Fact("Revision", "", digest=source.revision),
        Fact("Source's checksum", "", digest=source.checksum),
        Fact("Suite", "", digest=evidence.validation.suite_digest),
    )
    return Link("Data", "pulled, checked, validated", facts)


def _base(evidence: Evidence) -> Link:
    lineage = _lineage(evidence)
    facts = _some(
        Fact("Taken from", lineage.base_uri if lineage else "", wide=True),
        Fact("Weights", "", digest=lineage.base_digest if lineage else evidence.curve.base_digest),
        Fact("Chat template", "", digest=evidence.tuned.template_digest),
    )
    return Link("Base model", "fetched", facts)


def _tuned(evidence: Evidence) -> Link:
    lineage = _lineage(evidence)
    adapter = lineage.adapter_digest if lineage else evidence.tuned.model_digest
    facts = _some(
        Fact("Weights", "", digest=adapter),
        Fact("Settings of all stages", "", digest=lineage.settings_digest if lineage else ""),
        Fact("Seed", str(evidence.curve.seed)),
        *_code(lineage),
    )
    return Link("Adapter", "tuned on the training split", facts)


def _code(lineage: Lineage | None) -> tuple[Fact, ...]:
    if lineage is None:
        return ()
    code = lineage.code
    note = "with changes that were not committed" if code.dirty else ""
    commit = (Fact("Code commit", "", note, digest=code.commit),) if code.commit else ()
    return (*commit, Fact("Wherry", code.version))


def _file(evidence: Evidence) -> Link:
    last = evidence.parity.find("quantization")
    release = evidence.release
    facts = _some(
        Fact("File", "", digest=evidence.blessing.model_digest),
        Fact("Form", last.candidate if last else ""),
        Fact("Size", size(release.size) if release else ""),
    )
    return Link("Quantized file", "merged, converted, quantized", facts)


def _judged(evidence: Evidence) -> Link:
    lineage, blessing = _lineage(evidence), evidence.blessing
    own = digest_record(blessing)
    first = lineage.blessing_digest if lineage and lineage.blessing_digest != own else ""
    facts = _some(
        Fact("Scores", "", digest=blessing.scores_digest),
        Fact("Policy", "", digest=blessing.policy_digest),
        Fact("Champion compared with", "", digest=blessing.champion_digest or ""),
        Fact("Blessing" if blessing.passed else "Refusal", "", digest=own),
        Fact("Blessing it was registered with", "", digest=first),
    )
    return Link(
        "Blessing" if blessing.passed else "Refusal", "scored on the held-out split, judged", facts
    )


def _released(evidence: Evidence) -> tuple[Link, ...]:
    release, deployment = evidence.release, evidence.deployment
    if release is None:
        return ()
    facts = _some(
        Fact("Version", f"{release.name}, version {release.version}"),
        Fact("Aliases", ", ".join(release.aliases)),
        Fact("Kept at", release.uri, wide=True),
        Fact("Made", moment(release.created)),
        Fact("Served at", deployment.url if deployment else ""),
    )
    return (Link("Release", "registered under the file's digest", facts),)
