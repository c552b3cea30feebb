"""Choosing a base model as a KFP component."""

from kfp import dsl
from kfp.dsl import Artifact, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def select(suggestion: Output[Artifact], settings: str = "") -> str:
    """Suggests a base model for a task, within a memory and under a licence.

    Args:
        suggestion: the `Suggestion`: what fits, best first, and why the others do not.
        settings: a `Need` as JSON.

    Returns:
        The id of the first model that fits.
    """
    from pathlib import Path

    from wherry.select.run import run

    return run(Path(suggestion.path), settings)
