"""Says which record of a case is evidence for what a rule asks, and what is not recorded."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from wherry.ledger.export.documents import table
from wherry.ledger.export.facts import Facts


@dataclass(frozen=True)
class Asked:
    """One thing that a rule asks for."""

    rule: str
    clause: str
    about: str
    """What it asks for, in a few words."""
    files: tuple[str, ...]
    """The files of a case that record evidence for it."""


_ROWS: Final = ("records.jsonl", "proofs/", "checkpoint.json")
AI_ACT: Final = "Regulation (EU) 2024/1689 (AI Act)"
PART_11: Final = "21 CFR Part 11"
ISO_42001: Final = "ISO/IEC 42001:2023"

ASKED: Final[tuple[Asked, ...]] = (
    Asked(AI_ACT, "Art. 12(1)", "events are recorded automatically over the lifetime", _ROWS),
    Asked(AI_ACT, "Art. 12(2)", "events that tell of risks, changes and operation", _ROWS),
    Asked(
        AI_ACT,
        "Annex IV 1",
        "general description: version, form, how it is supplied",
        ("model-card.md", "bom.cdx.json"),
    ),
    Asked(
        AI_ACT,
        "Annex IV 2(a)",
        "methods and steps of development, pre-trained models used",
        ("provenance.dsse.json", "settings.json"),
    ),
    Asked(
        AI_ACT,
        "Annex IV 2(d)",
        "data: origin, scope, characteristics, cleaning",
        ("data-sheet.md",),
    ),
    Asked(
        AI_ACT,
        "Annex IV 2(g)",
        "validation and testing: data, metrics, results",
        ("scores/", "policy.json", "blessing.json"),
    ),
    Asked(
        AI_ACT,
        "Annex IV 3",
        "monitoring, functioning and control: accuracy, limits",
        ("model-card.md", "scores/"),
    ),
    Asked(
        AI_ACT,
        "Annex IV 4",
        "appropriateness of the performance metrics",
        ("policy.json", "blessing.json"),
    ),
    Asked(AI_ACT, "Annex IV 6", "changes made through the lifecycle", ("records.jsonl",)),
    Asked(
        PART_11,
        "11.10(b)",
        "copies of records, readable by people and machines",
        ("README.md", "records.jsonl"),
    ),
    Asked(PART_11, "11.10(c)", "records are protected", ("proofs/", "checkpoint.json")),
    Asked(PART_11, "11.10(e)", "time-stamped audit trails: who did what, and why", _ROWS),
    Asked(
        PART_11,
        "11.10(g)",
        "authority checks: who approved, promoted, waived",
        ("approvals.json", "records.jsonl"),
    ),
    Asked(PART_11, "11.50", "signatures show name, time and meaning", ("approvals.json",)),
    Asked(
        PART_11,
        "11.70",
        "signatures are linked to their records",
        ("approvals.json", "proofs/", "case.dsse.json"),
    ),
    Asked(
        ISO_42001,
        "A.6.2.3",
        "documentation of design and development",
        ("provenance.dsse.json", "settings.json"),
    ),
    Asked(
        ISO_42001,
        "A.6.2.4",
        "verification and validation",
        ("scores/", "policy.json", "blessing.json"),
    ),
    Asked(ISO_42001, "A.6.2.5", "deployment", ("deployments.json", "records.jsonl")),
    Asked(
        ISO_42001,
        "A.6.2.7",
        "technical documentation",
        ("model-card.md", "data-sheet.md", "bom.cdx.json"),
    ),
    Asked(ISO_42001, "A.6.2.8", "recording of event logs", _ROWS),
    Asked(ISO_42001, "A.7.5", "data provenance", ("data-sheet.md", "provenance.dsse.json")),
    Asked(ISO_42001, "A.7.6", "data preparation", ("data-sheet.md",)),
)
"""What the files of a case record the evidence for; whether that is enough, people decide."""

FILES: Final = (
    ("records.jsonl", "the audit rows about this version, one canonical JSON a line"),
    ("proofs/", "for each of them: that it is in the signed log"),
    ("checkpoint.json", "the signed log: its size, its Merkle root, in a DSSE envelope"),
    ("verify.py", "checks one of these proofs with Python alone"),
    ("check_case.py", "checks every file and signature here"),
    ("keyring.json", "the public keys that are trusted; compare them with what you were given"),
    ("case.dsse.json", "every file of this folder by its SHA-256, signed"),
    ("provenance.dsse.json", "how the file was built: in-toto statement, SLSA provenance, signed"),
    ("model/", "the very file that ships"),
    ("model.sig", "OpenSSF Model Signing bundle of that folder"),
    ("model.pub", "the public key of that bundle"),
    ("bom.cdx.json", "bill of materials with model card: CycloneDX 1.6"),
    ("model-card.md", "the model for people: made from what, scored how"),
    ("data-sheet.md", "the data for people: taken from where, what was done to it"),
    ("scores/", "every metric with its interval"),
    ("policy.json", "what the gate asked, as given; blessing.json has it as it was judged"),
    ("blessing.json", "what the gate saw beside it, and its verdict"),
    (
        "settings.json",
        "the settings of all stages as given, without secrets; what is left out has the default of "
        "the version that model-card.md names",
    ),
    ("approvals.json", "who approved, when, and what that means"),
    ("deployments.json", "where it ran, and whether it was healthy"),
)


def readme(facts: Facts, there: Collection[str]) -> str:
    """Gives the page to begin with.

    Args:
        facts: of the version.
        there: the paths of the case's files.
    """
    files = [(name, what) for name, what in FILES if _has(there, name)]
    parts = [
        f"# {facts.title}: the records",
        f"File {facts.release.digest}. Every row, file and signature here can be checked without "
        "the system that wrote them and without a network.",
        "## Files",
        table(("file", "what"), files),
        "## Check it",
        _checks(facts, there),
        "## What the files record the evidence for",
        "This is a list of records, not a statement of conformity: whether they are enough is for "
        "people to decide.",
        table(("rule", "clause", "about", "files"), _mapping(there)),
        "## Not recorded here",
        *(f"- {what}" for what in _missing(facts, there)),
    ]
    return "\n\n".join(parts) + "\n"


def _checks(facts: Facts, there: Collection[str]) -> str:
    model = (
        "# The model folder, by OpenSSF's own tool (pip install model-signing).",
        "model_signing verify key model --signature model.sig --public_key model.pub",
    )
    return "\n".join(
        (
            "```sh",
            "# PUBLIC_KEY: of the key that signed this, which you were given before: 64 digits,",
            "# its `public` and not its `id`.",
            "# All files and signatures are as they were signed (pip install cryptography).",
            "python3 check_case.py PUBLIC_KEY",
            "# A row is in the log that was signed; one proof a row.",
            f"python3 verify.py PUBLIC_KEY < proofs/{facts.rows[0].seq:06}.json",
            *(model if "model.sig" in there else ()),
            "# With Wherry: that the whole log agrees with the checkpoint.",
            "wherry audit verify --checkpoint checkpoint.json --key keyring.json",
            "```",
        )
    )


def _mapping(there: Collection[str]) -> Iterator[tuple[str, str, str, str]]:
    for asked in ASKED:
        if found := [name for name in asked.files if _has(there, name)]:
            yield asked.rule, asked.clause, asked.about, ", ".join(found)


def _missing(facts: Facts, there: Collection[str]) -> Iterator[str]:
    for asked in ASKED:
        if not any(_has(there, name) for name in asked.files):
            yield f"{asked.rule} {asked.clause}: {asked.about}."
    if facts.release.expired:
        yield "The model's file: a retention policy gave it up; its digest and its records stay."
    if not facts.intended_use:
        yield f"{AI_ACT} Annex IV 1(a): the intended purpose."
    yield (
        f"{AI_ACT} Annex IV 2(e): human oversight; 2(h): cybersecurity; 5: risk management; "
        "7: standards applied; 8: declaration of conformity; 9: plan for what is watched in use."
    )
    yield (
        f"{PART_11} 11.10(a), (d), (i), (j): validation of systems, who may get at them, training "
        "of people, and policies that hold them to account; 11.100 to 11.300: who people are."
    )


def _has(there: Collection[str], name: str) -> bool:
    return any(path == name or (name.endswith("/") and path.startswith(name)) for path in there)
