"""One type after another, each held against the merged model; the one to ship is kept."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from wherry.contracts import Rung, digest_file
from wherry.contracts.parity import Comparison
from wherry.quantize.found import Found, Reference, losses
from wherry.quantize.ladder import Judge, Made, Questions, Speed, best, superseded
from wherry.quantize.makers import FolderMaker, GgufMaker, Maker, is_gguf
from wherry.quantize.step import Seen, diverge, judge
from wherry.quantize.work import BESIDE, Work

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Importance, Source

_MERGE_SAMPLES: Final = 8
"""Merging is exact but for rounding: a few rows show whether it went wrong."""
_F16: Final = "unquantized F16 GGUF"
_MERGED: Final = "transformers, merged float32"


def climbed(work: Work, source: "Source | None") -> Found:
    """Merges, converts, and makes each type."""
    work.tell(0, "merging the adapter")
    beside = list(work.tuned.logits(work.samples()[:_MERGE_SAMPLES]))
    work.tuned.merge()
    asked = work.questions(work.tasks())
    merge = diverge(beside, asked.reference[: len(beside)])
    made = [judge("merge", (BESIDE, _MERGED), merge, work.settings)]
    climb = _Climb.begun(work, source, asked)
    reference, converted = climb.converted()
    for number, kind in enumerate(work.settings.tried):
        work.tell(number + 2, f"quantizing to {kind}")
        climb.step(kind)
    rung, compared = climb.ended()
    work.tell(len(work.settings.tried) + 2, "comparing tokens")
    maker = climb.maker(rung.type)
    with maker.renderer(work.scratch / rung.type / rung.file) as renderer:
        agreement = work.agreement(renderer)
    comparisons = (*made, *converted, compared)
    seen = Seen(len(work.rows.compared), agreement, comparisons, losses(rung, compared))
    lossless = climb.judge.reference
    return Found(seen, rung, maker.format, climb.rungs, lossless, reference, climb.importance)


@dataclass(frozen=True)
class _Climb:
    """One type after another, each held against the merged model."""

    work: Work
    asked: Questions
    judge: Judge
    gguf: GgufMaker | None
    folders: FolderMaker | None
    rungs: list[Rung]
    compared: dict[str, Comparison]

    @classmethod
    def begun(cls, work: Work, source: "Source | None", asked: Questions) -> "_Climb":
        """Prepares what all types share: names, weights, importance."""
        judge_ = Judge(asked.lossless(work.tuned), work.settings)
        importance = work.importance()
        gguf = _gguf_maker(work, source, importance) if source else None
        folders = None
        if not all(map(is_gguf, work.settings.tried)):
            folders = FolderMaker(work.scratch / "merged", importance, work.settings.threads)
            work.tuned.save(folders.merged)
        return cls(work, asked, judge_, gguf, folders, [], {})

    def maker(self, kind: str) -> Maker:
        """Gives what makes a type."""
        maker = self.gguf if is_gguf(kind) else self.folders
        assert maker is not None, kind  # noqa: S101  # begun() made it for every type tried
        return maker

    @property
    def importance(self) -> "Importance | None":
        """What narrow types were made with, by the names of those that were tried."""
        maker = self.gguf or self.folders
        return maker.importance if maker else None

    def converted(self) -> tuple[Reference, list[Comparison]]:
        """Holds the unquantized file against the merged model, and removes it."""
        if self.gguf is None:
            weights = self.work.scratch / "merged" / "model.safetensors"
            return Reference.of(weights, "merged float32 model"), []
        self.work.tell(1, "converting to GGUF")
        folder = self.work.scratch / "unquantized"
        folder.mkdir()
        file = replace(self.gguf, importance=None).write(folder, "F16")
        with self.gguf.model(file, self.asked.longest) as model:
            found = diverge(self.asked.reference, model.logits(self.asked.samples))
        reference = Reference.of(file, _F16)
        shutil.rmtree(folder)
        forms = (_MERGED, f"{self.gguf.engine}, F16")
        return reference, [judge("conversion", forms, found, self.work.settings)]

    def step(self, kind: str) -> None:
        """Makes one type and judges it; what can no longer ship is removed."""
        folder = self.work.scratch / kind
        folder.mkdir()
        started, maker = time.perf_counter(), self.maker(kind)
        file = maker.write(folder, kind)
        seconds = round(time.perf_counter() - started, 3)
        with maker.model(file, self.asked.longest) as model:
            quality = self.asked.quality(model)
        forms, limits = (_MERGED, f"{maker.engine}, {kind}"), self.work.settings
        compared = judge("quantization", forms, quality.divergence, limits, kind)
        made = Made(kind, file.name, digest_file(file), file.stat().st_size, seconds)
        self.rungs.append(self.judge.rung(made, compared, quality, self._speed(file, kind)))
        self.compared[kind] = compared
        for unused in superseded(self.rungs, limits.pick):
            shutil.rmtree(self.work.scratch / unused, ignore_errors=True)

    def ended(self) -> tuple[Rung, Comparison]:
        """Gives the type that ships or, if none may, the one that a refusal tells of."""
        rung = best(self.rungs, self.work.settings.pick)
        return rung, self.compared[rung.type]

    def _speed(self, file: Path, kind: str) -> Speed:
        prompts = self.work.prompts()
        # A GPU's figures depend on the server, which is not part of the folder.
        if not prompts or not is_gguf(kind):
            return Speed()
        from wherry.llama_server import DECODED, measure

        asked = [{"prompt": tokens} for tokens in prompts]
        room = max(map(len, prompts)) + DECODED + 1
        cost = measure(file, asked, context=room, threads=self.work.settings.threads)
        return Speed(median(cost.first_token), median(cost.decode_speed), cost.peak_memory)


def _gguf_maker(work: Work, source: "Source", found: "Importance | None") -> GgufMaker:
    from wherry.quantize.adapters import gguf_file

    tensors = gguf_file.to_gguf(work.tuned.tensors(), source)
    named = None if found is None else {source.named(old): found[old] for old in found}
    return GgufMaker(work.pair.origin.name, source, tensors, named, work.settings.threads)
