"""Wires the release: a blessed file and what it was made from in, a numbered version out."""

from pathlib import Path

from wherry import __version__
from wherry.contracts import (
    Blessing,
    Code,
    Dataset,
    ModelRef,
    Scores,
    check_approvals,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.model import MODEL_NAME
from wherry.ledger import Ledger
from wherry.progress import stage
from wherry.release.settings import ReleaseSettings
from wherry.release.step import Parts, check
from wherry.release.step import release as release_parts
from wherry.signing import BLESSING, check_stamp, load_keyring
from wherry.workspace import state


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
) -> None:
    """Registers a blessed file as a version with its lineage, and makes it the champion.

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
    """
    with stage("release") as report:
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
        check_stamp(parts.blessing, BLESSING, load_keyring())
        if chosen.promote:
            check_approvals(parts.blessing)
        with Ledger.open(state()) as ledger:
            made = release_parts(
                ledger,
                parts,
                gguf / parts.model.file,
                name,
                run_settings=run_settings,
                code=made_by,
                promote=chosen.promote,
            )
        made.write(release)
        report.verdict(", ".join((f"{made.name} v{made.version}", *made.aliases)))
