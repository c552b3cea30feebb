"""The adapter as a GGUF file of its own, for a server of many adapters on one base."""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wherry.contracts import digest_file
from wherry.contracts.errors import FormatError
from wherry.quantize.found import Found, Reference, losses
from wherry.quantize.ladder import Judge, Made, Quality, Questions, Speed
from wherry.quantize.step import Seen, file_name, judge
from wherry.quantize.work import BESIDE, Work

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Source

ADAPTER: Final = "LoRA"
"""Stands for a type where the adapter is written alone."""
_BASE: Final = "base in F16, without the adapter"


def adapter_alone(work: Work, source: "Source") -> Found:
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
    forms = (BESIDE, "llama.cpp, F16 base with the adapter")
    compared = judge("conversion", forms, quality.divergence, work.settings)
    rung = Judge(lossless, work.settings).rung(made, compared, quality, Speed())
    seen = Seen(len(work.rows.compared), agreement, (compared,), losses(rung, compared))
    return Found(seen, rung, "adapter", [rung], lossless, Reference.of(base, _BASE))


def _written_alone(work: Work, source: "Source") -> Made:
    """Writes the adapter into a folder of its own."""
    from wherry.quantize.adapters import lora_file

    folder = work.scratch / ADAPTER
    folder.mkdir()
    file = folder / file_name(work.pair.origin.name, ADAPTER)
    started = time.perf_counter()
    lora_file.write(file, work.pair.adapter, source)
    seconds = round(time.perf_counter() - started, 3)
    return Made(ADAPTER, file.name, digest_file(file), file.stat().st_size, seconds)


def _unquantized_base(work: Work, source: "Source") -> Path:
    """Writes the base without the adapter, in F16."""
    from wherry.quantize.adapters import gguf_file, llamacpp

    base = work.scratch / "base.gguf"
    tensors = gguf_file.to_gguf(work.tuned.base_tensors(), source)
    gguf_file.write(base, tensors, source, "F16", llamacpp.Encoder(work.settings.threads))
    return base


def _on_base(base: Path, made: Made, work: Work, asked: Questions) -> tuple[Quality, float]:
    """Gives an adapter's quality on its base, and the share of rows tokenized alike there."""
    from wherry.quantize.adapters.llamacpp import GgufModel, GgufRenderer

    file, threads = work.scratch / ADAPTER / made.file, work.settings.threads
    with closing(GgufModel(base, context=asked.longest, threads=threads, adapter=file)) as model:
        quality = asked.quality(model)
    with closing(GgufRenderer(base)) as renderer:
        return quality, work.agreement(renderer)
