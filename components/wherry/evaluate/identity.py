"""What answers hang on besides what is asked: a killed run goes on with no other's."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import wherry
from wherry.contracts import Manifest, ModelRef
from wherry.contracts.digest import MANIFEST_NAME

_LIBRARIES: Final = {
    "llama.cpp": ("xllamacpp",),
    "transformers": ("torch", "transformers", "tokenizers", "peft", "torchao"),
}
"""What computes an engine's answers: another version of it may round otherwise."""


def engine_with_versions(engine: str) -> str:
    """Gives an engine's name with the versions of what it runs on, and of this package.

    Example::

        engine_with_versions("llama.cpp")  # "llama.cpp xllamacpp=2026.10.11549 wherry=1.0.0"
    """
    found = (f"{name}={_version(name)}" for name in _LIBRARIES.get(engine, ()))
    return " ".join((engine, *found, f"wherry={wherry.__version__}"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def files_of(model: ModelRef, folder: Path, base: Path | None) -> str:
    """Gives the digests of all that a model is loaded from.

    Beside weights lie a tokenizer, an adapter's scale, the tokens that end a turn, and below an
    adapter its base: `ModelRef.digest` is of the weights alone.

    Args:
        model: what the folder holds.
        folder: of the model, sealed unless it is a GGUF file, which has all in it.
        base: the folder of an adapter's base.
    """
    if model.format == "gguf":
        return model.digest
    below = (base,) if base and model.format == "adapter" else ()
    parts = (Manifest.read(part / MANIFEST_NAME).digest for part in (folder, *below))
    return " ".join(parts)
