"""The gate as KFP components: `gate` judges, `refuse` ends a refused run red."""

from typing import Optional

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

from wherry.images import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def gate(
    scores_tuned: Input[Artifact],
    scores_quantized: Input[Artifact],
    parity: Input[Artifact],
    blessing: Output[Artifact],
    name: str,
    settings: str = "",
    scores_safety: Optional[Input[Artifact]] = None,  # noqa: UP045 - KFP reads no `X | None`
    scores_benchmarks: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    paired: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
    dataset: Optional[Input[Artifact]] = None,  # noqa: UP045 - likewise
) -> bool:
    """Judges the quantized file by its scores.

    Branch on the returned value with If and Else, and put `refuse` into Else.

    Args:
        scores_tuned: the `Scores` of the model before quantizing.
        scores_quantized: the `Scores` of the file that would ship.
        parity: the `Parity` between the two.
        blessing: the `Blessing`, passed or refused, signed.
        name: the model's name; its champion in the ledger is the one to compare with.
        settings: a `Policy` as JSON.
        scores_safety: the `Scores` of the same file on prompts about safety.
        scores_benchmarks: the `Scores` of the same file on benchmarks.
        paired: the `PairedTests` of the file against the champion.
        dataset: the data set, for how old its rows are.

    Returns:
        Whether the file may be released.
    """
    from pathlib import Path

    from wherry.gate.run import run

    return run(
        scores_tuned=Path(scores_tuned.path),
        scores_quantized=Path(scores_quantized.path),
        parity=Path(parity.path),
        blessing=Path(blessing.path),
        name=name,
        settings=settings,
        scores_safety=Path(scores_safety.path) if scores_safety else None,
        scores_benchmarks=Path(scores_benchmarks.path) if scores_benchmarks else None,
        paired=Path(paired.path) if paired else None,
        dataset=Path(dataset.path) if dataset else None,
    )


@dsl.component(base_image=BASE_IMAGE, packages_to_install=[], install_kfp_package=False)
def refuse(blessing: Input[Artifact]) -> None:
    """Ends the run red, with exit code 3, if the gate refused.

    Args:
        blessing: the `Blessing`.
    """
    from pathlib import Path

    from wherry.gate.run import refuse as run

    run(Path(blessing.path))
