"""Wires the release: a blessed file and what it was made from in, a numbered version out."""

from pathlib import Path

from wherry import __version__
from wherry.contracts import (
    Blessing,
    Code,
    Dataset,
    ModelRef,
    Scores,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import DigestError, GateRefusedError, as_wherry_error
from wherry.contracts.files import write_atomic
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import CHAMPION, Ledger, predictions_name
from wherry.ledger.places import places
from wherry.ledger.redaction import redact_text
from wherry.ledger.stages import recorded
from wherry.progress import stage
from wherry.release.mirror import reconcile
from wherry.release.registries import mirrors, open_mirror
from wherry.release.settings import ReleaseSettings
from wherry.release.step import Parts, check
from wherry.release.step import release as release_parts
from wherry.release.vouched import still_missing
from wherry.signing import BLESSING, check_stamp, load_keyring, load_signer
from wherry.workspace import state


@recorded(
    "release",
    inputs=("gguf", "blessing", "dataset", "scores_quantized", "scores_tuned", "base", "adapter"),
    outputs=("release", "checkpoint"),
)
def run(
    gguf: Path,
    blessing: Path,
    dataset: Path,
    scores_quantized: Path,
    scores_tuned: Path,
    base: Path,
    adapter: Path,
    release: Path,
    name: str,
    settings: str = "",
    run_settings: str = "",
    code: str = "",
    checkpoint: Path | None = None,
    predictions: Path | None = None,
) -> bool:
    """Registers a blessed file as a version with its lineage, and makes it the champion.

    A version whose policy asks for approvals that nobody gave yet is registered and waits.

    Args:
        gguf: the folder of the file that ships.
        blessing: its `Blessing`.
        dataset: the data set's folder.
        scores_quantized: the `Scores` of the file.
        scores_tuned: the `Scores` of the model before quantizing.
        base: the base model's folder.
        adapter: the adapter's folder.
        release: where to write the `Release`.
        name: the model's name.
        settings: `ReleaseSettings` as JSON.
        run_settings: the settings of all stages as JSON, for the lineage.
        code: the `Code` that made it as JSON; empty for this version of Wherry.
        checkpoint: where to write the signed state of the audit log, beside the places that
            ``WHERRY_CHECKPOINTS`` names; it takes a key.
        predictions: what the file answered, to be kept: the next version is held against it row
            by row.

    Returns:
        Whether it is the champion now.
    """
    with stage("release") as report:
        signing = _Signing() if checkpoint else None
        chosen = read_settings(ReleaseSettings, settings)
        made_by = read_settings(Code, code) if code else Code(version=__version__)
        parts = Parts(
            model=ModelRef.verified(gguf),
            base=ModelRef.read(base / MODEL_NAME),
            adapter=ModelRef.read(adapter / MODEL_NAME),
            dataset=Dataset.read(dataset / DATASET_NAME),
            tuned=Scores.read(scores_tuned),
            quantized=Scores.read(scores_quantized),
            blessing=Blessing.read(blessing),
        )
        check(parts)
        keyring = load_keyring()
        check_stamp(parts.blessing, BLESSING, keyring)
        _check_name(parts.blessing, name)
        with Ledger.open(state()) as ledger:
            if signing:
                signing.check(ledger)
            if predictions:
                _keep(ledger, name, predictions, parts.quantized)
            made = release_parts(
                ledger,
                parts,
                gguf / parts.model.file,
                name,
                run_settings=run_settings,
                code=made_by,
                promote=chosen.promote,
                keyring=keyring,
            )
            waits = "" if made.aliases else still_missing(ledger, made.name, made.version, keyring)
            told = _mirrored(ledger, made.name)
            if signing and checkpoint:
                write_atomic(checkpoint, signing.keep(ledger))
        made.write(release)
        words = (f"{made.name} v{made.version}", *made.aliases, *([waits] if waits else ()), *told)
        report.verdict(", ".join(words))
    return CHAMPION in made.aliases


def _check_name(blessing: Blessing, name: str) -> None:
    """Refuses a blessing that was given, with its waivers and its champion, for another name."""
    if blessing.name not in ("", name):
        raise GateRefusedError(
            f"the blessing is of the model {blessing.name!r}, not of {name!r}.",
            remedy="Let the gate judge it under the name that it is released as.",
        )


def _keep(ledger: Ledger, name: str, predictions: Path, scores: Scores) -> None:
    if scores.predictions_digest is None:
        raise DigestError(
            "The scores do not say which predictions they were counted from.",
            remedy="Evaluate again with this version of Wherry.",
        )
    ledger.artifacts.publish(predictions, scores.predictions_digest, predictions_name(name))


def _mirrored(ledger: Ledger, name: str) -> list[str]:
    """Brings the mirrors up to date; one that fails is told, for the store is the truth."""
    failed = []
    for address in mirrors():
        try:
            reconcile(ledger, open_mirror(address), name)
        except Exception as error:  # an odd answer must not turn a release red that was made
            failed.append(redact_text(f"not mirrored: {as_wherry_error(error)}"))
    return failed


class _Signing:
    """What signs the audit log: loaded first, for without a key nothing is released."""

    def __init__(self) -> None:
        self._signer = load_signer()
        self._keyring = load_keyring()

    def check(self, ledger: Ledger) -> None:
        """Refuses a log that could not be signed afterwards, while nothing has changed yet."""
        ledger.log.check_grown(places(state()), self._keyring)

    def keep(self, ledger: Ledger) -> bytes:
        """Signs the log, keeps that in its places, and gives the envelope."""
        return ledger.log.keep(places(state()), self._signer, self._keyring).envelope
