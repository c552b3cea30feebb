"""Opens whoever answers prompts: a model's folder, or a running server."""

from dataclasses import dataclass, field
from pathlib import Path

from wherry.contracts import Digest, ModelRef
from wherry.contracts.errors import DigestError, ExtraMissingError, MissingError, SettingsError
from wherry.evaluate.identity import engine_with_versions, files_of
from wherry.evaluate.settings import Endpoint
from wherry.evaluate.step import Answerer, check_template


@dataclass(frozen=True)
class Asking:
    """How somebody is asked."""

    max_new_tokens: int = 256
    """Longest answer, in tokens."""
    context: int = 2048
    """Longest prompt with its answer that llama.cpp makes room for, in tokens."""
    batch_size: int = 16
    """Prompts that transformers answers at once."""
    slots: int = 4
    """Prompts that llama.cpp answers at once."""
    threads: int = 0
    """CPU threads; 0 for all that this process may use."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """The running server, where one is asked."""

    def __post_init__(self) -> None:
        """Refuses what cannot be meant.

        Raises:
            ValueError: naming the field, the value and what was expected.
        """
        lowest = {"max_new_tokens": 1, "batch_size": 1, "slots": 1, "threads": 0}
        for name, low in {**lowest, "context": self.max_new_tokens + 1}.items():
            if (value := getattr(self, name)) < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        self.endpoint.check_room(self.max_new_tokens)


@dataclass(frozen=True)
class Opened:
    """Somebody who answers, and who it is."""

    answerer: Answerer
    name: str
    """For people: the model's, or the server's address."""
    digest: Digest
    verified: bool
    """Whether that digest was computed here or said by the server, not by the settings."""
    files: str = ""
    """Of all that it was loaded from, see `files_of`; empty for a server's."""

    @property
    def identity(self) -> str:
        """Who it is, for a memory of its answers: nobody else's may pass for them."""
        engine = engine_with_versions(self.answerer.engine)
        who = f"{self.name} {self.digest} {self.verified} {self.answerer.template_digest}"
        return f"{who} {self.files} {engine}"


def open_answerer(folder: Path | None, base: Path | None, url: str, asking: Asking) -> Opened:
    """Loads a model's folder, or connects to a server.

    Args:
        folder: of a transformers model, a PEFT adapter, or GGUF; or None.
        base: the folder of an adapter's base.
        url: of a server that speaks OpenAI's protocol; or empty.
        asking: how it is asked.

    Raises:
        SettingsError: unless there is exactly one of folder and URL.
        MissingError: if an adapter comes without its base.
        DigestError: if it belongs to another base.
        TemplateError: if the model renders with another template than it was trained with.
        ExtraMissingError: if what loads it is not installed.
    """
    if (folder is None) == (not url):
        raise SettingsError(
            "Expected either a model's folder or a server's URL, got "
            + ("neither." if folder is None else "both."),
            remedy="Hand over exactly one.",
        )
    try:
        return _served(url, asking) if folder is None else _loaded(folder, base, asking)
    except ImportError as error:
        raise extra_missing(error) from error


def extra_missing(error: ImportError) -> ExtraMissingError:
    """Gives the error for a library that a model needs and that is not here."""
    needed = (
        f"needs {error.name}, which is not installed" if error.name else f"cannot go on: {error}"
    )
    return ExtraMissingError(
        f"Asking this model {needed}.",
        remedy='Run: pip install "wherry[evaluate]", for INT8 and INT4 "wherry[gpu]" too.',
    )


def _served(url: str, asking: Asking) -> Opened:
    from wherry.evaluate.adapters.openai import OpenAiAnswerer

    found = OpenAiAnswerer(url, asking.endpoint, max_new_tokens=asking.max_new_tokens)
    return Opened(found, url, found.model_digest, found.verified)


def _loaded(folder: Path, base: Path | None, asking: Asking) -> Opened:
    described = ModelRef.verified(folder)
    found = loaded_answerer(described, folder, base, asking)
    files = files_of(described, folder, base)
    return Opened(found, described.name, described.digest, verified=True, files=files)


def loaded_answerer(
    described: ModelRef, folder: Path, base: Path | None, asking: Asking
) -> Answerer:
    """Loads a model that answers, and checks that it renders as it was trained.

    Args:
        described: what the folder holds.
        folder: of a transformers model, a PEFT adapter, or GGUF.
        base: the folder of an adapter's base; other models do not need it.
        asking: how it is asked.

    Raises:
        MissingError: if an adapter comes without its base.
        DigestError: if it belongs to another base.
        TemplateError: if the model renders with another template than it was trained with.
        ModuleNotFoundError: if what loads it is not installed.
    """
    limits = {"max_new_tokens": asking.max_new_tokens, "threads": asking.threads}
    found: Answerer
    if described.format == "gguf":
        from wherry.evaluate.adapters.llamacpp import LlamaCppAnswerer

        found = LlamaCppAnswerer(
            folder / described.file, slots=asking.slots, context=asking.context, **limits
        )
    else:
        from wherry.evaluate.adapters.transformers import TransformersAnswerer

        below = base_of(described, base) if described.format == "adapter" else None
        found = TransformersAnswerer(
            below or folder, folder if below else None, batch_size=asking.batch_size, **limits
        )
    check_template(found, described)
    return found


def base_of(adapter: ModelRef, base: Path | None) -> Path:
    """Gives the folder of an adapter's base, after checking that it is that.

    Raises:
        MissingError: if there is none.
        DigestError: if the adapter was trained on another.
    """
    if base is None:
        raise MissingError(
            f"The adapter {adapter.name} cannot answer without its base.", remedy="Hand base over."
        )
    found = ModelRef.verified(base)
    if found.digest != adapter.base_digest:
        raise DigestError(
            f"The adapter was trained on a base of digest {adapter.base_digest}, got "
            f"{found.digest}.",
            remedy="Hand over the base that the adapter was trained on.",
        )
    return base
