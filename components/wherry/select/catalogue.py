"""Reads a catalogue of base models: YAML in, checked records out."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from wherry.contracts.errors import FormatError, MissingError
from wherry.contracts.record import reject_unknown_fields

CATALOGUE_NAME: Final = "catalogue.yaml"
"""Ours, beside this file."""
MAX_CATALOGUE_BYTES: Final = 4 << 20

Terms = Literal["permissive", "gated", "restricted"]
"""What a licence asks, from least to most:

- ``permissive``: an open-source licence; fetch, change, sell;
- ``gated``: the publisher's own terms, to be accepted first; commercial use is allowed under them;
- ``restricted``: research or other non-commercial use alone.
"""
TERMS: Final[tuple[Terms, ...]] = ("permissive", "gated", "restricted")

Task = Literal[
    "classification",
    "extraction",
    "summarization",
    "chat",
    "code",
    "reasoning",
    "moderation",
    "vision",
]
"""What a model is asked to do."""
TASKS: Final[tuple[Task, ...]] = (
    "classification",
    "extraction",
    "summarization",
    "chat",
    "code",
    "reasoning",
    "moderation",
    "vision",
)


@dataclass(frozen=True)
class Architecture:
    """The figures of a model's ``config.json`` that its memory follows from."""

    layers: int
    hidden: int
    """Width of the residual stream."""
    intermediate: int
    """Width inside a feed-forward block, of one expert."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key and value heads: fewer than `heads` is grouped-query attention."""
    head_dim: int
    vocab: int
    """Rows of the embedding, padding included."""
    tied: bool
    """Whether the embedding serves as the output matrix too."""
    gated: bool = True
    """Whether the feed-forward block has a gate beside its up projection."""
    bias: Literal["none", "qkv", "out", "all"] = "none"
    """Which projections have a bias: queries, keys and values; what leaves the attention, and the
    feed-forward block; or all of them."""
    norms: Literal["two", "four", "one"] = "two"
    """Norms a layer: two RMS norms, Gemma 2's and 3's four, or Phi-2's one layer norm."""
    qk_norm: bool = False
    """Whether queries and keys are normed, each with a weight of `head_dim`."""
    fused: bool = False
    """Whether llama.cpp keeps queries, keys and values in one matrix."""
    window: int = 0
    """Tokens that a sliding-window layer sees; 0 if no layer has a window."""
    window_layers: int = 0
    """Layers with that window; the others see all of the context."""
    experts: int = 1
    """Feed-forward blocks of a layer, of which a router picks some for each token."""
    recurrent_layers: int = 0
    """Layers with a recurrent block (RG-LRU) in place of attention: their state does not grow."""
    other_parameters: int = 0
    """Outside the text decoder: a vision tower and its projector."""

    def __post_init__(self) -> None:
        """Checks the figures against each other.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        for name in ("layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim", "vocab"):
            _at_least(name, getattr(self, name), 1)
        for name in ("window", "window_layers", "recurrent_layers", "other_parameters"):
            _at_least(name, getattr(self, name), 0)
        _at_least("experts", self.experts, 1)
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide heads {self.heads}, got {self.kv_heads}")
        if self.window_layers + self.recurrent_layers > self.layers:
            raise ValueError(
                f"window_layers and recurrent_layers must be at most layers {self.layers} together"
            )
        if bool(self.window) != bool(self.window_layers):
            raise ValueError("window and window_layers must be given together")

    @property
    def query_width(self) -> int:
        """Values of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Values of all key heads; the value heads have as many."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Licence:
    """What a model may be used for."""

    name: str
    """An SPDX identifier, or the terms' own name."""
    terms: Terms
    note: str = ""
    """What has to be accepted, and where; what is not allowed."""


@dataclass(frozen=True)
class Rooms:
    """How much of Wherry's way a model can go today."""

    tune: bool
    """Whether the model loads as text alone, and its template, or one that `fetch_base` gives it,
    tells where an answer begins."""
    quantize: bool
    """Whether its architecture can be read from GGUF and written as it."""
    tested: bool = False
    """Whether the tests run the whole way with it."""
    note: str = ""


@dataclass(frozen=True)
class Source:
    """Where a figure stands, and whether it was compared."""

    url: str
    verified: bool
    """Whether somebody compared the figures with a copy of this page; if not, they are hearsay."""
    note: str = ""


@dataclass(frozen=True)
class Sources:
    """A source for each group of figures."""

    architecture: Source
    licence: Source
    languages: Source
    context: Source | None = None
    """Where it is not the architecture's."""


@dataclass(frozen=True)
class Model:
    """One entry of a catalogue."""

    id: str
    """Lower case, unique in a catalogue, such as ``smollm2-135m``."""
    name: str
    family: str
    hub: str
    """``ORG/NAME`` on the Hugging Face Hub."""
    purpose: str
    """What its publisher made it for, in a few words."""
    tasks: tuple[Task, ...]
    """What it is worth trying for."""
    template: str
    """Family of its chat template, such as ``chatml``; empty if it has none."""
    licence: Licence
    parameters: int
    """All of them, as transformers' own class counts them on `architecture`."""
    context: int
    """Most tokens of a conversation."""
    architecture: Architecture
    gguf: str
    """llama.cpp's name of the architecture; empty if llama.cpp cannot run it."""
    rooms: Rooms
    sources: Sources
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes that the publisher names; ``*`` for a hundred or more; empty if it names
    none."""
    revision: str = ""
    """A commit of the hub's repository that was seen; empty if none was: choose one yourself."""

    def __post_init__(self) -> None:
        """Checks what every entry needs.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        if not self.id or self.id != self.id.lower() or " " in self.id:
            raise ValueError(f"id must be lower case without spaces, got {self.id!r}")
        if self.hub.count("/") != 1:
            raise ValueError(f"hub must be ORG/NAME, got {self.hub!r}")
        if not self.tasks:
            raise ValueError("tasks must name at least one")
        _at_least("parameters", self.parameters, 1)
        _at_least("context", self.context, 1)

    @property
    def unverified(self) -> tuple[str, ...]:
        """The groups of figures that nobody compared with their source."""
        sources = {f.name: getattr(self.sources, f.name) for f in dataclasses.fields(Sources)}
        return tuple(name for name, at in sources.items() if at is not None and not at.verified)

    @property
    def whole_way(self) -> bool:
        """Whether every room of Wherry can handle it today."""
        return self.rooms.tune and self.rooms.quantize


@dataclass(frozen=True)
class Catalogue:
    """Models by id, in the order of the file."""

    models: Mapping[str, Model] = field(default_factory=dict)

    def merged(self, other: "Catalogue") -> "Catalogue":
        """Gives a catalogue with `other`'s entries over these: the same id replaces."""
        return Catalogue({**self.models, **other.models})


def shipped() -> Catalogue:
    """Gives the catalogue that Wherry ships."""
    place = resources.files("wherry.select") / CATALOGUE_NAME
    return parse(place.read_text(encoding="utf-8"), where=CATALOGUE_NAME)


def load(path: Path | None) -> Catalogue:
    """Gives our catalogue, with a team's own file over it.

    Raises:
        MissingError: if there is no such file.
        FormatError: naming the entry and the field that is wrong.
    """
    if path is None:
        return shipped()
    if not path.is_file():
        raise MissingError(f"{path} does not exist.", remedy="Name a file with --catalogue.")
    if path.stat().st_size > MAX_CATALOGUE_BYTES:
        raise FormatError(
            f"{path} has {path.stat().st_size:,} bytes, expected at most {MAX_CATALOGUE_BYTES:,}.",
            remedy="Name a catalogue of models.",
        )
    return shipped().merged(parse(path.read_bytes(), where=str(path)))


def parse(text: str | bytes, *, where: str) -> Catalogue:
    """Reads a catalogue.

    Args:
        text: YAML: ``models`` is a list of entries, see `Model`.
        where: the file's name, for messages.

    Raises:
        FormatError: naming the entry and the field that is wrong.
    """
    try:
        raw = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader, the fast one if there
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(where, f"no valid YAML: {_first_line(error)}") from error
    entries = raw.get("models") if isinstance(raw, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _bad(where, "no list of entries under the field 'models'")
    models: dict[str, Model] = {}
    for number, entry in enumerate(entries, start=1):
        model = _model(entry, where, number)
        if model.id in models:
            raise _bad(where, f"entry {number}: the id {model.id!r} appears twice")
        models[model.id] = model
    return Catalogue(models)


def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_NESTED: Final[dict[str, type[Any]]] = {
    "architecture": Architecture,
    "licence": Licence,
    "rooms": Rooms,
    "sources": Sources,
}


def _model(entry: Any, where: str, number: int) -> Model:
    called = entry.get("id") if isinstance(entry, dict) else None
    try:
        reject_unknown_fields(Model, entry)
        for name, kind in _NESTED.items():
            if isinstance(entry, dict) and isinstance(entry.get(name), dict):
                _known(kind, entry[name], name)
        return msgspec.convert(entry, Model)
    except (msgspec.ValidationError, ValueError) as error:
        raise _bad(where, f"entry {number} ({called or 'without id'}): {error}") from error


def _known(kind: type[Any], raw: dict[str, Any], name: str) -> None:
    try:
        reject_unknown_fields(kind, raw)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from error


def _bad(where: str, what: str) -> FormatError:
    return FormatError(
        f"{where} is no catalogue of models: {what}.",
        remedy="Correct the entry; docs and components/wherry/select/README.md name the fields.",
    )


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
