"""A model in one of its forms, with all that identifies it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from wherry.contracts.digest import Digest, Manifest
from wherry.contracts.errors import DigestError
from wherry.contracts.record import Record

MODEL_NAME: Final = "model.json"


@dataclass(frozen=True)
class ModelRef(Record):
    """What a folder with a model holds; lies in it as ``model.json``.

    `digest` is of the weights that load: the one GGUF file, the adapter's or the
    model's safetensors. A `Blessing` binds to it.
    """

    name: str
    """A short name for people, such as ``SmolLM2-135M-Instruct``."""
    format: Literal["transformers", "adapter", "gguf"]
    file: str
    """The weights' file, relative to the folder."""
    digest: Digest
    size: int
    """Of that file, in bytes."""
    base_uri: str
    """Where the base model was taken from."""
    base_digest: Digest
    template_digest: Digest
    """Of the chat template's text: training, evaluation and serving must share it."""
    quantization: str = ""
    """The GGUF type, such as ``Q8_0``, or the precision, such as ``float32``."""
    adapter_digest: Digest | None = None
    """Of the adapter that was merged or that this is."""
    licence: str = ""
    teacher_digest: Digest | None = None
    """Of the model that it was tuned to follow, if any."""
    start_digest: Digest | None = None
    """Of the adapter that its training went on from, if any."""
    schema: Literal["wherry.model/1"] = "wherry.model/1"

    @classmethod
    def verified(cls, folder: Path) -> Self:
        """Reads what a sealed model folder holds, after re-hashing every file of it.

        Raises:
            ManifestError: if a file is extra, missing or a link, or there is no manifest.
            DigestError: if a file's bytes changed, or the weights are not those described.
        """
        hashes = {entry.path: entry.sha256 for entry in Manifest.verified(folder).files}
        model = cls.read(folder / MODEL_NAME)
        if hashes.get(model.file) != model.digest:
            raise DigestError(
                f"{folder / model.file} has digest {hashes.get(model.file)}, expected "
                f"{model.digest}.",
                remedy="Make the artifact again.",
            )
        return model
