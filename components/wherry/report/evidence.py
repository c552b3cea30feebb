"""All that a run left behind, checked to be of one run before any of it is shown."""

from collections.abc import Iterator
from dataclasses import dataclass

from wherry.contracts.blessing import Blessing
from wherry.contracts.curve import LossCurve
from wherry.contracts.dataset import Dataset, Message
from wherry.contracts.digest import Digest, digest_record
from wherry.contracts.errors import DigestError, GateRefusedError
from wherry.contracts.ladder import Ladder
from wherry.contracts.paired import PairedTests
from wherry.contracts.parity import Parity
from wherry.contracts.release import Deployment, Release
from wherry.contracts.scores import Scores
from wherry.contracts.validation import ValidationReport


@dataclass(frozen=True)
class Evidence:
    """The records of one run.

    Raises:
        DigestError: if two of them speak of different bytes.
        GateRefusedError: if a refused model has a release.
    """

    dataset: Dataset
    validation: ValidationReport
    curve: LossCurve
    base: Scores
    tuned: Scores
    quantized: Scores
    parity: Parity
    blessing: Blessing
    ladder: Ladder | None = None
    paired: PairedTests | None = None
    release: Release | None = None
    deployment: Deployment | None = None
    example: tuple[Message, ...] = ()
    """A prompt for the call to try, or empty."""

    def __post_init__(self) -> None:
        """Refuses to mix two runs on one page."""
        for what, found, expected in self._pairs():
            if found != expected:
                raise DigestError(
                    f"{what} has digest {found}, expected {expected}.",
                    remedy="Hand the report the files of one run.",
                )
        if self.release and not self.blessing.passed:
            raise GateRefusedError(
                f"{self.release.name} version {self.release.version} is released, "
                "but its blessing is a refusal.",
                remedy="Retire the version and find out who registered it.",
            )

    @property
    def models(self) -> tuple[tuple[str, Scores], ...]:
        """The three models of a run, as ``(series, scores)``."""
        return ("base", self.base), ("tuned", self.tuned), ("quantized", self.quantized)

    @property
    def agreements(self) -> tuple[str, ...]:
        """What was found to be the same bytes, in words."""
        return tuple(what for what, _, _ in self._pairs())

    def _pairs(self) -> Iterator[tuple[str, Digest, Digest]]:
        yield "The validated data", self.validation.dataset_digest, self.dataset.digest
        for series, scores in self.models:
            held_out = self.dataset.split(scores.split).digest
            yield f"The split that the {series} model was scored on", scores.data_digest, held_out
        yield "The file of the parity check", self.parity.model_digest, self.quantized.model_digest
        yield "The judged scores", self.blessing.scores_digest, digest_record(self.quantized)
        yield "The judged file", self.blessing.model_digest, self.quantized.model_digest
        if self.paired:
            compared = self.paired.challenger_digest
            yield "The file compared with the champion", compared, self.quantized.model_digest
        if self.release:
            yield "The released file", self.release.digest, self.blessing.model_digest
        if self.deployment:
            yield "The deployed file", self.deployment.digest, self.blessing.model_digest
