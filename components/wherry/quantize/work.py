"""The way from a tuned model to the types asked for, with a check after every change of form."""

import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from wherry.contracts import (
    Dataset,
    Ladder,
    Manifest,
    Message,
    ModelRef,
    Row,
    Rung,
    digest_bytes,
    digest_file,
)
from wherry.contracts.dataset import DATASET_NAME, read_rows
from wherry.contracts.errors import FormatError
from wherry.contracts.parity import Comparison
from wherry.progress import Report
from wherry.quantize.ladder import (
    Judge,
    Made,
    Quality,
    Question,
    Questions,
    Speed,
    best,
    question,
    single_tokens,
    superseded,
)
from wherry.quantize.makers import FolderMaker, GgufMaker, Maker, is_gguf
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import (
    Renderer,
    Sample,
    Seen,
    check_pair,
    check_template,
    complaint,
    distinct_samples,
    diverge,
    file_name,
    judge,
    token_agreement,
)

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Importance, Source
    from wherry.quantize.adapters.transformers import TunedModel

ADAPTER: Final = "LoRA"
"""Stands for a type where the adapter is written alone."""
_MERGE_SAMPLES: Final = 8
"""Merging is exact but for rounding: a few rows show whether it went wrong."""
_LONGEST_TEXT: Final = 512
"""Tokens of a plain text that are read."""
_F16: Final = "unquantized F16 GGUF"
_BASE: Final = "base in F16, without the adapter"
_BESIDE: Final = "transformers, adapter beside its base"
_MERGED: Final = "transformers, merged float32"


@dataclass(frozen=True)
class Pair:
    """A base and an adapter that belong together."""

    base: Path
    adapter: Path
    origin: ModelRef
    """The base's."""
    tuned: ModelRef
    """The adapter's."""

    @classmethod
    def verified(cls, base: Path, adapter: Path) -> "Pair":
        """Re-hashes both folders and compares what they say of each other."""
        origin, tuned = ModelRef.verified(base), ModelRef.verified(adapter)
        check_pair(origin, tuned)
        return cls(base, adapter, origin, tuned)

    def source(self) -> "Source":
        """Opens the base's GGUF file, if its template is the one that training used."""
        from wherry.quantize.adapters.gguf_file import Source

        source = Source.of_folder(self.base)
        check_template(source.template, self.origin)
        return source


@dataclass(frozen=True)
class Rows:
    """The rows that the forms are compared on, and those that show what matters."""

    compared: Sequence[Row]
    scored: Sequence[Row]
    weighed: Sequence[Row]
    labels: Sequence[str]
    digest: str
    """Of the compared split's file."""

    @classmethod
    def verified(cls, dataset: Path, settings: QuantizeSettings) -> "Rows":
        """Re-hashes the data set and reads what is needed of it."""
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)

        def first(split: str, count: int) -> list[Row]:
            # No further: a split may hold more than fits into memory.
            return list(islice(read_rows(dataset / data.split(split).file), count))

        rows = first(settings.split, max(settings.rows, settings.scored_rows))
        weighed = settings.importance_rows if settings.weighed else 0
        return cls(
            rows[: settings.rows],
            rows[: settings.scored_rows],
            first(settings.importance_split, weighed) if weighed else [],
            data.labels,
            data.split(settings.split).digest,
        )


@dataclass(frozen=True)
class Found:
    """What was made and seen."""

    seen: Seen
    """Of the rung below."""
    rung: Rung
    """The type that ships, or if none passed the one of the least loss."""
    format: Literal["gguf", "transformers", "adapter"]
    rungs: Sequence[Rung]
    reference: Quality
    reference_file: "Reference"
    importance: "Importance | None" = None

    def ladder(self, data: str, settings: QuantizeSettings, *, passed: bool) -> Ladder:
        """Gives all rungs side by side."""
        return Ladder(
            rungs=tuple(self.rungs),
            picked=self.rung.type if passed else "",
            pick=settings.pick,
            reference_digest=self.reference_file.digest,
            reference_size=self.reference_file.size,
            data_digest=data,
            positions=self.seen.comparisons[-1].positions,
            reference_perplexity=self.reference.perplexity,
            reference_scores=self.reference.scores,
            importance_digest=_digest(self.importance),
            reference=self.reference_file.form,
        )


@dataclass(frozen=True)
class Reference:
    """The unquantized file."""

    digest: str
    size: int
    """In bytes."""
    form: str
    """What it holds, in words."""

    @classmethod
    def of(cls, file: Path, form: str) -> "Reference":
        """Hashes a file."""
        return cls(digest_file(file), file.stat().st_size, form)


def _digest(importance: "Importance | None") -> str | None:
    if importance is None:
        return None
    parts = [name.encode() + importance[name].tobytes() for name in sorted(importance)]
    return digest_bytes(b"".join(parts))


def make(
    pair: Pair, rows: Rows, scratch: Path, settings: QuantizeSettings, report: Report
) -> Found:
    """Makes every type in a folder of its own below `scratch`, and keeps the one to ship.

    Args:
        pair: the base and what was tuned.
        rows: what the forms are compared on.
        scratch: an empty folder.
        settings: the types, and what is asked of them.
        report: told how far it is.

    Returns:
        What was made; nothing is refused here.
    """
    from wherry.quantize.adapters.transformers import TunedModel

    report.progress(0, 1, "loading the tuned model")
    # Before the model, which takes longer: what cannot be written is said at once.
    gguf = settings.adapter_only or any(map(is_gguf, settings.tried))
    source = pair.source() if gguf else None
    tuned = TunedModel(pair.base, pair.adapter, threads=settings.threads)
    work = _Work(pair, rows, scratch, settings, report, tuned)
    if settings.adapter_only and source:
        return _adapter_alone(work, source)
    return _types(work, source)


@dataclass(frozen=True)
class _Work:
    """What every part of the way needs."""

    pair: Pair
    rows: Rows
    scratch: Path
    settings: QuantizeSettings
    report: Report
    tuned: "TunedModel"

    def tell(self, done: int, note: str) -> None:
        """Says which of the steps begins: merging, converting, one a type, comparing tokens."""
        self.report.progress(done, len(self.settings.tried) + 3, note)

    def read(self, row: Row) -> tuple[int, ...]:
        """Gives a row's tokens as training read them; of plain text the first."""
        if row.messages:
            return self.tuned.whole(row.messages)
        return self.tuned.plain(row.text)[:_LONGEST_TEXT]

    def samples(self) -> list[Sample]:
        """Gives the contexts that every form is compared on."""
        return distinct_samples(map(self.read, self.rows.compared), self.settings.positions)

    def questions(self, tasks: Sequence[Question] = ()) -> Questions:
        """Gives what every form is asked, with what the model says now."""
        samples = self.samples()
        labels = self.label_tokens() if tasks else ()
        return Questions(samples, list(self.tuned.logits(samples)), tasks, labels)

    def tasks(self) -> list[Question]:
        """Gives the rows whose answers are scored."""
        labels = list(self.rows.labels)
        found = []
        for row in self.rows.scored:
            if not row.messages:
                continue  # plain text answers nothing
            prompt, answer = self.tuned.answer(row.messages)
            if answer:
                place = labels.index(row.label) if row.label in labels else -1
                found.append(question(prompt, answer, place))
        return found

    def label_tokens(self) -> tuple[int, ...]:
        """Gives each label's token as an answer to the first row, if all have just one."""
        prompt = self.rows.scored[0].prompt
        said = [(*prompt, Message("assistant", label)) for label in self.rows.labels]
        # The last token ends the turn.
        return single_tokens([self.tuned.answer(messages)[1][:-1] for messages in said])

    def importance(self) -> "Importance | None":
        """Gives what each column of a matrix is multiplied with, by transformers' names."""
        if not self.rows.weighed:
            return None
        self.tell(1, f"weighing {len(self.rows.weighed)} rows")
        return self.tuned.importance(map(self.read, self.rows.weighed))

    def prompts(self) -> list[tuple[int, ...]]:
        """Gives the prompts that speed is measured with."""
        rows = islice(cycle(self.rows.scored or self.rows.compared), self.settings.timed_runs)
        return [
            self.tuned.render(row.prompt).ids if row.messages else self.read(row) for row in rows
        ]

    def agreement(self, renderer: Renderer) -> float:
        """Gives the share of rows that a shipped form renders and tokenizes alike."""
        # Plain text as a turn: what both tokenizers make of it is compared all the same.
        prompts = [row.prompt or (Message("user", row.text),) for row in self.rows.compared]
        ours = [self.tuned.render(prompt) for prompt in prompts]
        return token_agreement(ours, [renderer.render(prompt) for prompt in prompts])


def _types(work: _Work, source: "Source | None") -> Found:
    """Merges, converts, and makes each type."""
    work.tell(0, "merging the adapter")
    beside = list(work.tuned.logits(work.samples()[:_MERGE_SAMPLES]))
    work.tuned.merge()
    asked = work.questions(work.tasks())
    merge = diverge(beside, asked.reference[: len(beside)])
    made = [judge("merge", (_BESIDE, _MERGED), merge, work.settings)]
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
    seen = Seen(len(work.rows.compared), agreement, comparisons, _losses(rung, compared))
    lossless = climb.judge.reference
    return Found(seen, rung, maker.format, climb.rungs, lossless, reference, climb.importance)


def _losses(rung: Rung, compared: Comparison) -> tuple[str, ...]:
    """Gives why a rung does not pass, but for what its comparison says itself."""
    return tuple(reason for reason in rung.reasons if reason != complaint(compared))


@dataclass(frozen=True)
class _Climb:
    """One type after another, each held against the merged model."""

    work: _Work
    asked: Questions
    judge: Judge
    gguf: GgufMaker | None
    folders: FolderMaker | None
    rungs: list[Rung]
    compared: dict[str, Comparison]

    @classmethod
    def begun(cls, work: _Work, source: "Source | None", asked: Questions) -> "_Climb":
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


def _gguf_maker(work: _Work, source: "Source", found: "Importance | None") -> GgufMaker:
    from wherry.quantize.adapters import gguf_file

    tensors = gguf_file.to_gguf(work.tuned.tensors(), source)
    named = None if found is None else {source.named(old): found[old] for old in found}
    return GgufMaker(work.pair.origin.name, source, tensors, named, work.settings.threads)


def _adapter_alone(work: _Work, source: "Source") -> Found:
    """Writes the adapter as GGUF and holds it, on its base in F16, against the tuned model."""
    if work.pair.tuned.format != "adapter":
        raise FormatError(
            f"{work.pair.tuned.name} was tuned in full, so there is no adapter to write alone.",
            remedy="Leave adapter_only out.",
        )
    work.tell(0, "writing the adapter")
    asked = work.questions(work.tasks())
    lossless, made = asked.lossless(work.tuned), _written_alone(work, source)
    work.tell(1, "comparing it on its base")
    base = _unquantized_base(work, source)
    quality, agreement = _on_base(base, made, work, asked)
    forms = (_BESIDE, "llama.cpp, F16 base with the adapter")
    compared = judge("conversion", forms, quality.divergence, work.settings)
    rung = Judge(lossless, work.settings).rung(made, compared, quality, Speed())
    seen = Seen(len(work.rows.compared), agreement, (compared,), _losses(rung, compared))
    return Found(seen, rung, "adapter", [rung], lossless, Reference.of(base, _BASE))


def _written_alone(work: _Work, source: "Source") -> Made:
    """Writes the adapter into a folder of its own."""
    from wherry.quantize.adapters import lora_file

    folder = work.scratch / ADAPTER
    folder.mkdir()
    file = folder / file_name(work.pair.origin.name, ADAPTER)
    started = time.perf_counter()
    lora_file.write(file, work.pair.adapter, source)
    seconds = round(time.perf_counter() - started, 3)
    return Made(ADAPTER, file.name, digest_file(file), file.stat().st_size, seconds)


def _unquantized_base(work: _Work, source: "Source") -> Path:
    """Writes the base without the adapter, in F16."""
    from wherry.quantize.adapters import gguf_file, llamacpp

    base = work.scratch / "base.gguf"
    tensors = gguf_file.to_gguf(work.tuned.base_tensors(), source)
    gguf_file.write(base, tensors, source, "F16", llamacpp.Encoder(work.settings.threads))
    return base


def _on_base(base: Path, made: Made, work: _Work, asked: Questions) -> tuple[Quality, float]:
    """Gives an adapter's quality on its base, and the share of rows tokenized alike there."""
    from wherry.quantize.adapters.llamacpp import GgufModel, GgufRenderer

    file, threads = work.scratch / ADAPTER / made.file, work.settings.threads
    with closing(GgufModel(base, context=asked.longest, threads=threads, adapter=file)) as model:
        quality = asked.quality(model)
    with closing(GgufRenderer(base)) as renderer:
        return quality, work.agreement(renderer)
