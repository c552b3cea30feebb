"""Makes files of the types that llama.cpp and GPUs run, each behind the same three calls."""

from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from wherry.quantize.settings import FOR_GPUS
from wherry.quantize.step import Predictor, Renderer, file_name

if TYPE_CHECKING:
    from wherry.quantize.adapters.gguf_file import Importance, Source, Tensors


class Maker(Protocol):
    """Makes the shipped form of a merged model; one for each engine that runs it."""

    @property
    def format(self) -> Literal["gguf", "transformers"]:
        """What a server must be able to load."""

    @property
    def engine(self) -> str:
        """What runs it, in words."""

    def write(self, folder: Path, kind: str) -> Path:
        """Fills an empty folder with a model of this type and gives its weights' file."""

    def model(self, file: Path, context: int) -> AbstractContextManager[Predictor]:
        """Opens what was written, for samples of at most `context` tokens."""

    def renderer(self, file: Path) -> AbstractContextManager[Renderer]:
        """Opens its chat template and tokenizer."""


@dataclass(frozen=True)
class GgufMaker:
    """Makes GGUF files, one a type."""

    name: str
    """The model's, of which the file's is made."""
    source: "Source"
    tensors: "Tensors"
    importance: "Importance | None"
    threads: int
    format: Literal["gguf"] = "gguf"
    engine: str = "llama.cpp"

    def write(self, folder: Path, kind: str) -> Path:
        """Writes and reads back one file."""
        from wherry.quantize.adapters import gguf_file, llamacpp

        file = folder / file_name(self.name, kind)
        encoder = llamacpp.Encoder(self.threads)
        gguf_file.write(file, self.tensors, self.source, kind, encoder, self.importance)
        return file

    def model(self, file: Path, context: int) -> AbstractContextManager[Predictor]:
        """Opens a file in llama.cpp."""
        from wherry.quantize.adapters.llamacpp import GgufModel

        return closing(GgufModel(file, context=context, threads=self.threads))

    def renderer(self, file: Path) -> AbstractContextManager[Renderer]:
        """Opens the file's own template and tokenizer."""
        from wherry.quantize.adapters.llamacpp import GgufRenderer

        return closing(GgufRenderer(file))


@dataclass(frozen=True)
class FolderMaker:
    """Makes folders for GPUs."""

    merged: Path
    """The folder of the unquantized model."""
    importance: "Importance | None"
    """By transformers' names."""
    threads: int
    format: Literal["transformers"] = "transformers"
    engine: str = "compressed-tensors"

    def write(self, folder: Path, kind: str) -> Path:
        """Writes a folder for transformers and vLLM."""
        from wherry.quantize.adapters import compressed_tensors

        return compressed_tensors.write(self.merged, folder, kind, self.importance)

    def model(self, file: Path, context: int) -> AbstractContextManager[Predictor]:  # noqa: ARG002  # the same call
        """Opens a folder in transformers."""
        from wherry.quantize.adapters.compressed_tensors import QuantizedModel

        return closing(QuantizedModel(file.parent, threads=self.threads))

    def renderer(self, file: Path) -> AbstractContextManager[Renderer]:
        """Opens the folder's own template and tokenizer."""
        from wherry.quantize.adapters.compressed_tensors import QuantizedModel

        return closing(QuantizedModel(file.parent, threads=self.threads))


def is_gguf(kind: str) -> bool:
    """Tells whether llama.cpp runs this type."""
    return kind not in FOR_GPUS
