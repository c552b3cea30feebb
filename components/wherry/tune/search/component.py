"""The search for a tuning recipe as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def search(
    dataset: Input[Dataset],
    base: Input[Model],
    study: Output[Artifact],
    best: Output[Artifact],
    settings: str = "",
) -> str:
    """Searches the tuning recipe of the lowest eval loss; gives it as the settings of `tune`.

    Args:
        dataset: a validated `Dataset` with the splits train and eval; no other is read.
        base: the base model's folder, from `fetch_base`.
        study: the `SearchReport`: every trial and the best.
        best: the best `TuneSettings` as JSON.
        settings: a `SearchSettings` as JSON.
    """
    from pathlib import Path

    from wherry.tune.search.run import run

    return run(Path(dataset.path), Path(base.path), Path(study.path), Path(best.path), settings)
