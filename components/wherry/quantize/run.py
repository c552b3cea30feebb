"""Wires quantizing: a base, its adapter and real rows in, one checked GGUF file out."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from wherry.contracts import Dataset, Manifest, ModelRef, Row, digest_file, read_settings
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import ExtraMissingError, ParityError
from wherry.contracts.files import staged_folder
from wherry.contracts.model import MODEL_NAME
from wherry.contracts.parity import Comparison, Parity
from wherry.ledger.stages import recorded
from wherry.progress import Report, stage
from wherry.quantize.settings import QuantizeSettings
from wherry.quantize.step import (
    Logits,
    Renderer,
    Sample,
    Seen,
    check_pair,
    check_template,
    conclude,
    distinct_samples,
    diverge,
    file_name,
    judge,
    token_agreement,
)

_STEPS: Final = 6
"""Of which progress tells."""
_MERGE_SAMPLES: Final = 8
"""Merging is exact but for rounding: a few rows show whether it went wrong."""
_BESIDE: Final = "transformers, adapter beside its base"
_MERGED: Final = "transformers, merged float32"


@recorded("quantize", inputs=("base", "adapter", "dataset"), outputs=("gguf", "parity"))
def run(
    base: Path, adapter: Path, dataset: Path, gguf: Path, parity: Path, settings: str = ""
) -> ModelRef:
    """Merges an adapter into its base, writes that as GGUF and checks it on real rows.

    Args:
        base: the base model's folder, with the GGUF file that it was taken from.
        adapter: an adapter's folder in PEFT's form, or that of a model tuned in full.
        dataset: the folder of a `Dataset`.
        gguf: the folder to make: the one file, ``model.json`` and a manifest.
        parity: where to write the `Parity`, passed or not.
        settings: a `QuantizeSettings` as JSON.

    Raises:
        ParityError: if a form of the model differs too much; then `gguf` is not made.
    """
    with stage("quantize") as report:
        chosen = read_settings(QuantizeSettings, settings)
        _require_libraries()
        pair = _Pair.verified(base, adapter)
        Manifest.verified(dataset)
        data = Dataset.read(dataset / DATASET_NAME)
        rows = data.rows(dataset, chosen.split)[: chosen.rows]
        with staged_folder(gguf) as folder:
            file = folder / file_name(pair.origin.name, chosen.type)
            seen = _made(pair, file, rows, chosen, report)
            model = _described(pair, file, chosen.type)
            verdict = conclude(seen, model.digest, data.split(chosen.split).digest, chosen)
            verdict.write(parity)
            _refuse_unless(verdict)
            model.write(folder / MODEL_NAME)
            Manifest.seal(folder)
        report.verdict(_words(model, verdict))
    return model


def _require_libraries() -> None:
    """Imports what the stage needs before it takes minutes.

    llama.cpp comes first: it says how OpenMP's threads wait, and torch loads OpenMP too.
    """
    try:
        import wherry.quantize.adapters.llamacpp
        import wherry.quantize.adapters.transformers  # noqa: F401  # only to see that it can be
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Quantizing needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[quantize]"',
        ) from error


@dataclass(frozen=True)
class _Pair:
    """A base and an adapter that belong together."""

    base: Path
    adapter: Path
    origin: ModelRef
    """The base's."""
    tuned: ModelRef
    """The adapter's."""

    @classmethod
    def verified(cls, base: Path, adapter: Path) -> "_Pair":
        """Re-hashes both folders and compares what they say of each other."""
        origin, tuned = ModelRef.verified(base), ModelRef.verified(adapter)
        check_pair(origin, tuned)
        return cls(base, adapter, origin, tuned)


def _described(pair: _Pair, file: Path, kind: str) -> ModelRef:
    return replace(
        pair.origin,
        format="gguf",
        file=file.name,
        digest=digest_file(file),
        size=file.stat().st_size,
        base_digest=pair.origin.digest,
        quantization=kind,
        adapter_digest=pair.tuned.digest,
    )


def _refuse_unless(parity: Parity) -> None:
    if not parity.passed:
        raise ParityError(
            f"The file is not the model that was tuned: {'; '.join(parity.reasons)}.",
            remedy="Choose a wider type, or raise the limits if this loss is acceptable.",
        )


def _words(model: ModelRef, parity: Parity) -> str:
    last = parity.comparisons[-1]
    return (
        f"{model.quantization}, {model.size / 1e6:.0f} MB, KL {last.kl:.2g}, "
        f"{100 * last.next_token_agreement:.1f}% of {last.positions} next tokens agree"
    )


def _made(
    pair: _Pair, file: Path, rows: Sequence[Row], settings: QuantizeSettings, report: Report
) -> Seen:
    """Goes from adapter to file, with a check after every change of form."""
    from wherry.quantize.adapters import gguf_file, llamacpp
    from wherry.quantize.adapters.transformers import TunedModel

    report.progress(0, _STEPS, "loading the tuned model")
    source = gguf_file.Source.of_folder(pair.base)
    check_template(source.template, pair.origin)
    tuned = TunedModel(pair.base, pair.adapter, threads=settings.threads)
    samples = distinct_samples((tuned.whole(row.messages) for row in rows), settings.positions)
    report.progress(1, _STEPS, "merging the adapter")
    beside = list(tuned.logits(samples[:_MERGE_SAMPLES]))
    tuned.merge()
    bench = _Bench(samples, list(tuned.logits(samples)), settings)
    comparisons = [bench.merge(beside)]
    tensors = gguf_file.to_gguf(tuned.tensors(), source)
    plain = file.with_suffix(".check")
    report.progress(2, _STEPS, "converting to GGUF")
    gguf_file.write(plain, tensors, source, "F16", llamacpp.encode)
    comparisons.append(bench.file("conversion", plain, "F16"))
    plain.unlink()
    report.progress(4, _STEPS, f"quantizing to {settings.type}")
    gguf_file.write(file, tensors, source, settings.type, llamacpp.encode)
    comparisons.append(bench.file("quantization", file, settings.type))
    report.progress(5, _STEPS, "comparing tokens")
    with closing(llamacpp.GgufRenderer(file)) as embedded:
        agreement = _token_agreement(tuned, embedded, rows)
    return Seen(len(rows), agreement, tuple(comparisons))


def _token_agreement(ours: Renderer, theirs: Renderer, rows: Sequence[Row]) -> float:
    prompts = [row.prompt for row in rows]
    return token_agreement(
        [ours.render(prompt) for prompt in prompts], [theirs.render(prompt) for prompt in prompts]
    )


@dataclass(frozen=True)
class _Bench:
    """The contexts that every form is held against, and what the merged model says there."""

    samples: Sequence[Sample]
    merged: Sequence[Logits]
    settings: QuantizeSettings

    def merge(self, beside: Sequence[Logits]) -> Comparison:
        """Holds the merged model against the adapter beside its base."""
        found = diverge(beside, self.merged[: len(beside)])
        return judge("merge", (_BESIDE, _MERGED), found, self.settings)

    def file(
        self, name: Literal["conversion", "quantization"], file: Path, kind: str
    ) -> Comparison:
        """Holds a GGUF file against the merged model."""
        from wherry.quantize.adapters.llamacpp import GgufModel

        longest = max((len(sample.ids) for sample in self.samples), default=1)
        with closing(GgufModel(file, context=longest, threads=self.settings.threads)) as model:
            found = diverge(self.merged, model.logits(self.samples))
        return judge(name, (_MERGED, f"llama.cpp, {kind}"), found, self.settings)
