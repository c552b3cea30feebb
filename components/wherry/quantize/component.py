"""Quantizing as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def quantize(
    base: Input[Model],
    adapter: Input[Model],
    dataset: Input[Dataset],
    gguf: Output[Model],
    parity: Output[Artifact],
    ladder: Output[Artifact],
    settings: str = "",
) -> None:
    """Merges an adapter into its base, writes that as GGUF and checks it on real rows.

    Args:
        base: the base model's folder, with the GGUF file that it was taken from.
        adapter: a LoRA adapter in PEFT's form.
        dataset: the folder of a data set; one of its splits is what the forms are compared on.
        gguf: the folder of the one file that ships, sealed.
        parity: the `Parity` of all forms.
        ladder: the `Ladder` of all types that were tried.
        settings: a `QuantizeSettings` as JSON.
    """
    from pathlib import Path

    from wherry.quantize.run import run

    run(
        Path(base.path),
        Path(adapter.path),
        Path(dataset.path),
        Path(gguf.path),
        Path(parity.path),
        settings,
        Path(ladder.path),
    )
