"""The release as a KFP component."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def release(
    gguf: Input[Artifact],
    blessing: Input[Artifact],
    dataset: Input[Artifact],
    scores_quantized: Input[Artifact],
    scores_tuned: Input[Artifact],
    base: Input[Artifact],
    adapter: Input[Artifact],
    release: Output[Artifact],
    checkpoint: Output[Artifact],
    name: str,
    settings: str = "",
    run_settings: str = "",
    code: str = "",
    predictions: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
) -> bool:
    """Registers a blessed file as a version with its lineage, and makes it the champion.

    Args:
        gguf: the folder of the file that ships.
        blessing: its `Blessing`.
        dataset: the data set's folder.
        scores_quantized: the `Scores` of the file.
        scores_tuned: the `Scores` of the model before quantizing.
        base: the base model's folder.
        adapter: the adapter's folder.
        release: the `Release`.
        checkpoint: the signed state of the audit log, kept apart from the store.
        name: the model's name.
        settings: `ReleaseSettings` as JSON.
        run_settings: the settings of all stages as JSON, for the lineage.
        code: the `Code` that made it as JSON; empty for this version of Wherry.
        predictions: what the file answered, kept for the comparison with the next version.

    Returns:
        Whether it is the champion now; False while approvals are missing.
    """
    from pathlib import Path

    from wherry.release.run import run

    return run(
        gguf=Path(gguf.path),
        blessing=Path(blessing.path),
        dataset=Path(dataset.path),
        scores_quantized=Path(scores_quantized.path),
        scores_tuned=Path(scores_tuned.path),
        base=Path(base.path),
        adapter=Path(adapter.path),
        release=Path(release.path),
        name=name,
        settings=settings,
        run_settings=run_settings,
        code=code,
        checkpoint=Path(checkpoint.path),
        predictions=Path(predictions.path) if predictions else None,
    )
