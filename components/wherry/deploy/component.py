"""The deployment as a KFP component."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from wherry.images import SERVE_IMAGE


@dsl.component(base_image=SERVE_IMAGE, packages_to_install=[], install_kfp_package=False)
def deploy(
    release: Input[Artifact],
    dataset: Input[Dataset],
    deployment: Output[Artifact],
    settings: str = "",
    generation: int = 0,
    blessing: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
) -> str:
    """Brings a release to a running endpoint; the old one serves until the new one is proved.

    Args:
        release: the `Release` to run.
        dataset: the data set; its test split asks the smoke test's questions.
        deployment: the `Deployment` that came of it.
        settings: a `DeploySettings` as JSON.
        generation: of the alias that it is deployed for; 0 to take the champion's
            from the ledger and to record the deployment there.
        blessing: the `Blessing` of this file; without it the ledger's.

    Returns:
        The endpoint's address.
    """
    from pathlib import Path

    from wherry.deploy.run import run

    return run(
        release=Path(release.path),
        dataset=Path(dataset.path),
        deployment=Path(deployment.path),
        settings=settings,
        generation=generation,
        blessing=Path(blessing.path) if blessing else None,
    )
