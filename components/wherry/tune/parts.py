"""What a tuning run is made of, every byte checked before anything is learnt."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from wherry.contracts import Dataset, Digest, Manifest, ModelRef, digest_bytes
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import DigestError, SettingsError, TemplateError
from wherry.tune.settings import TAUGHT, VIRTUAL, TuneSettings

_HERE: Final = {
    "checkpoint_every": 0,
    "threads": 0,
    "micro_batch": 0,
    "recompute": False,
    "merge": False,
    "shard": "none",
    "trackers": (),
}
"""Settings that may change between a kill and the repetition: how, not what is learnt."""
_ADAPTER: Final = "adapter_config.json"
_VIRTUAL_KINDS: Final = ("PROMPT_TUNING", "PREFIX_TUNING")
"""PEFT's names."""


@dataclass(frozen=True)
class Parts:
    """The inputs of a run."""

    dataset: Path
    data: Dataset
    base: Path
    origin: ModelRef
    """The base's."""
    start: Path | None
    begun: ModelRef | None
    """The adapter's that the run goes on training."""
    teacher: Path | None
    taught: ModelRef | None
    """The teacher's."""

    @classmethod
    def verified(
        cls, dataset: Path, base: Path, start: Path | None, teacher: Path | None
    ) -> "Parts":
        """Re-hashes every folder and checks that they belong together.

        Raises:
            DigestError: if bytes changed, or the adapter is of another base.
            TemplateError: if the adapter was trained with another chat template.
        """
        Manifest.verified(dataset)
        parts = cls(
            dataset=dataset,
            data=Dataset.read(dataset / DATASET_NAME),
            base=base,
            origin=ModelRef.verified(base),
            start=start,
            begun=ModelRef.verified(start) if start else None,
            teacher=teacher,
            taught=ModelRef.verified(teacher) if teacher else None,
        )
        parts._refuse_strangers()
        return parts

    def fits(self, recipe: TuneSettings, *, merged: bool) -> None:
        """Refuses a recipe that these parts cannot serve.

        Raises:
            SettingsError: naming what is missing or too much.
        """
        if (recipe.objective in TAUGHT) != (self.teacher is not None):
            wanted = "needs a teacher" if self.teacher is None else "has no use for a teacher"
            raise SettingsError(
                f"objective {recipe.objective} {wanted}.",
                remedy="Hand over `teacher`, or choose another objective.",
            )
        if recipe.patience and not self.measured:
            raise SettingsError(
                f"patience {recipe.patience} waits for a lower eval loss, and the data set has no "
                "rows in a split eval.",
                remedy="Give `ingest` a share of rows for eval, or set patience: 0.",
            )
        if recipe.merge and not merged:
            raise SettingsError(
                "merge: true was asked for, and no place for the merged model was named.",
                remedy="Name a folder by --merged, or leave merge out.",
            )
        if merged and recipe.method in VIRTUAL:
            raise SettingsError(
                f"method {recipe.method} trains virtual tokens, which no weights can take in.",
                remedy="Leave `merged` and merge out, or choose a method such as lora.",
            )
        if merged and recipe.method == "full":
            raise SettingsError(
                "method full gives the whole model already: there is no adapter to merge.",
                remedy="Leave `merged` and merge out; take the output `adapter`.",
            )
        self._refuse_virtual_start(recipe)
        if self.begun and (recipe.method == "full" or self.begun.format != "adapter"):
            raise SettingsError(
                f"method {recipe.method} cannot go on from a {self.begun.format} start.",
                remedy="Hand a whole model over as `base`; `start` is for adapters.",
            )

    def identity(self, recipe: TuneSettings, ranks: int) -> Digest:
        """Gives what makes this run the same run when it is started again."""
        inputs = [self.data.digest, self.origin.digest, self.origin.template_digest, ranks]
        inputs += [digest for digest in (self.start_digest, self.teacher_digest) if digest]
        same = asdict(replace(recipe, **_HERE))  # type: ignore[arg-type] # names of its fields
        return digest_bytes(json.dumps([inputs, same], sort_keys=True).encode())

    @property
    def measured(self) -> bool:
        """Whether there are rows to measure the eval loss on."""
        return any(split.name == "eval" and split.rows for split in self.data.splits)

    @property
    def start_digest(self) -> Digest | None:
        """Of the adapter that the run goes on training, if any."""
        return self.begun.digest if self.begun else None

    @property
    def teacher_digest(self) -> Digest | None:
        """Of the teacher, if any."""
        return self.taught.digest if self.taught else None

    def _refuse_virtual_start(self, recipe: TuneSettings) -> None:
        """PEFT goes on with no virtual tokens; of other kinds the adapter itself tells all.

        Raises:
            SettingsError: if the adapter to go on from has virtual tokens, or would get some.
        """
        if self.start is None:
            return
        config = self.start / _ADAPTER
        kind = json.loads(config.read_bytes()).get("peft_type") if config.is_file() else None
        if kind in _VIRTUAL_KINDS or recipe.method in VIRTUAL:
            raise SettingsError(
                f"method {recipe.method} cannot go on from an adapter of the kind {kind}: virtual "
                "tokens are learnt from the beginning alone.",
                remedy="Leave `start` out, or begin with a method such as lora and go on with it.",
            )

    def _refuse_strangers(self) -> None:
        if not self.begun:
            return
        if self.begun.base_digest != self.origin.digest:
            raise DigestError(
                f"The adapter to go on from was trained on a base of digest "
                f"{self.begun.base_digest}, got {self.origin.digest}.",
                remedy="Hand over the base that it was trained on.",
            )
        if self.begun.template_digest != self.origin.template_digest:
            raise TemplateError(
                "The adapter to go on from was trained with another chat template.",
                remedy="Hand over the base with the template that it was trained with.",
            )
