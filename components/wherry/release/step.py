"""Checks that everything a release rests on is about one file, then registers that file."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wherry.contracts import (
    ArtifactRef,
    Blessing,
    Code,
    Dataset,
    Digest,
    Lineage,
    ModelRef,
    Release,
    Scores,
    digest_bytes,
    digest_record,
)
from wherry.contracts.errors import (
    ConflictError,
    DigestError,
    FormatError,
    SettingsError,
    TemplateError,
)
from wherry.ledger import (
    CHAMPION,
    Candidate,
    Ledger,
    canonical,
    check_blessing,
    check_label,
)
from wherry.release.moves import check_not_left
from wherry.release.vouched import check_known, still_missing
from wherry.signing import Keyring

_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class Parts:
    """Everything that a release rests on."""

    model: ModelRef
    """The file that ships, as `ModelRef.verified` gave it."""
    base: ModelRef
    adapter: ModelRef
    dataset: Dataset
    tuned: Scores
    quantized: Scores
    blessing: Blessing


def check(parts: Parts) -> None:
    """Refuses parts that are not all about one file and how it was made.

    Raises:
        GateRefusedError: if the gate did not pass it.
        DigestError: if blessing, scores, data, base model or adapter belong to another file.
        TemplateError: if it was trained and asked through different chat templates.
        FormatError: if the file is no GGUF.
    """
    model, blessing = parts.model, parts.blessing
    if model.format != "gguf":
        raise FormatError(
            f"{model.file} is a model of the format {model.format!r}, expected 'gguf'.",
            remedy="Release the folder that quantize gives.",
        )
    check_blessing(blessing)
    _check_digests(parts)
    for what, found in (("tuned", parts.tuned), ("quantized", parts.quantized)):
        if found.template_digest != model.template_digest:
            raise TemplateError(
                f"the {what} model was asked through the chat template {found.template_digest}, "
                f"the file has {model.template_digest}.",
                remedy="Evaluate again through the file's own chat template.",
            )


def release(
    ledger: Ledger,
    parts: Parts,
    file: Path,
    name: str,
    *,
    run_settings: str,
    code: Code,
    promote: bool,
    keyring: Keyring,
) -> Release:
    """Publishes, registers and promotes a checked file; doing it again changes nothing.

    Args:
        ledger: the release store.
        parts: as `check` passed them.
        file: the GGUF file.
        name: the model's name.
        run_settings: the settings of all stages as JSON.
        code: what made it.
        promote: whether `champion` moves to it.
        keyring: the keys that are trusted, for the approvals that it may need and the blessing
            that it may have already.

    Raises:
        ConflictError: if the champion is no longer the one that the gate compared with, or
            somebody rolled back from this very file.
        SignatureError, SigningKeyError: if it is a version already, whose blessing is not good.
        SettingsError: if the name is no DNS label, or the settings are no JSON.
    """
    check_label("name", name)
    settings_digest = digest_settings(run_settings)
    at = ledger.alias(name, CHAMPION)
    if promote:
        _check_champion(parts, ledger.find(name, at.version) if at else None)
        check_not_left(ledger, name, parts.model.digest)
        check_known(ledger, name, parts.model.digest, keyring)
    ref = ledger.artifacts.publish(file, parts.model.digest, f"{name}.gguf")
    candidate = _candidate(parts, ref, name, settings_digest, code)
    candidate = replace(candidate, settings=run_settings)
    if not promote:
        return ledger.register(candidate)
    if parts.blessing.required_approvals:
        return _promote_if_approved(ledger, candidate, at.generation if at else 0, keyring)
    return _promote(ledger, candidate, at.generation if at else 0)


def digest_settings(run_settings: str) -> Digest:
    """Gives the digest of settings in their canonical form; spaces and order do not change it.

    Raises:
        SettingsError: if they are no JSON.
    """
    try:
        return digest_bytes(canonical(json.loads(run_settings or "{}")))
    except ValueError as error:
        raise SettingsError(
            f"run_settings is no JSON: {error}.", remedy="Pass the settings as one JSON text."
        ) from error


def without_credentials(uri: str) -> str:
    """Gives a URI without user and password: nothing leaves an append-only ledger again."""
    return _CREDENTIALS.sub("", uri)


def _check_digests(parts: Parts) -> None:
    model, blessing = parts.model, parts.blessing
    split = parts.dataset.split(parts.quantized.split)
    for what, found, expected in (
        ("the blessing's model", blessing.model_digest, model.digest),
        ("the quantized scores' model", parts.quantized.model_digest, model.digest),
        ("the blessing's scores", blessing.scores_digest, digest_record(parts.quantized)),
        ("the data that it was scored on", parts.quantized.data_digest, split.digest),
        ("the tuned scores' model", parts.tuned.model_digest, parts.adapter.digest),
        ("the file's adapter", model.adapter_digest, parts.adapter.digest),
        ("the file's base model", model.base_digest, parts.base.digest),
        ("the adapter's base model", parts.adapter.base_digest, parts.base.digest),
    ):
        if found != expected:
            raise DigestError(
                f"{what} has digest {found}, expected {expected}.",
                remedy="Hand on the outputs of one run: they must all belong to this file.",
            )


def _check_champion(parts: Parts, live: Release | None) -> None:
    judged, found = parts.blessing.champion_digest, live.digest if live else None
    if found not in (judged, parts.model.digest):
        raise ConflictError(
            f"the gate compared with the champion {judged or 'none'}, but {found or 'none'} is "
            "the champion now.",
            remedy="Run the pipeline again: the gate then compares with the one that is live.",
        )


def _candidate(
    parts: Parts, ref: ArtifactRef, name: str, settings_digest: Digest, code: Code
) -> Candidate:
    source = parts.dataset.source
    lineage = Lineage(
        data_digest=parts.dataset.digest,
        data_source=replace(source, uri=without_credentials(source.uri)),
        base_uri=without_credentials(parts.base.base_uri),
        base_digest=parts.base.digest,
        adapter_digest=parts.adapter.digest,
        template_digest=parts.model.template_digest,
        settings_digest=settings_digest,
        scores_digest=digest_record(parts.quantized),
        blessing_digest=digest_record(parts.blessing),
        policy_digest=parts.blessing.policy_digest,
        code=code,
        teacher_digest=parts.adapter.teacher_digest,
        start_digest=parts.adapter.start_digest,
    )
    return Candidate(
        name=name,
        digest=ref.digest,
        uri=ref.uri,
        size=ref.size,
        lineage=lineage,
        blessing=parts.blessing,
        scores=(parts.tuned, parts.quantized),
        dataset=parts.dataset,
    )


def _promote_if_approved(
    ledger: Ledger, candidate: Candidate, generation: int, keyring: Keyring
) -> Release:
    """Registers a version, which then waits; the run that finds it approved promotes it."""
    made = ledger.register(candidate)
    if CHAMPION in made.aliases or still_missing(ledger, made.name, made.version, keyring):
        return made
    ledger.switch(
        CHAMPION, made.name, made.version, expected_generation=generation, reason="approved"
    )
    return ledger.find(made.name, made.version)


def _promote(ledger: Ledger, candidate: Candidate, generation: int) -> Release:
    reason = f"blessed: {len(candidate.blessing.checks)} checks passed"
    try:
        return ledger.register_and_switch(
            candidate, CHAMPION, expected_generation=generation, reason=reason
        )
    except ConflictError:
        # Two runs may release the same file at once: the other one has done our work.
        live = ledger.release_at_alias(candidate.name, CHAMPION)
        if live and live.digest == candidate.digest:
            return live
        raise
