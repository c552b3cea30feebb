"""Downloads a model from the Hugging Face Hub, or finds it in the local cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from wherry.contracts.errors import MissingError

FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]


class HuggingFaceHub:
    """The Hub, or its local cache alone."""

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline

    def download(self, name: str, revision: str) -> Path:
        """Gives the folder of a model at a revision.

        Raises:
            MissingError: if the Hub cannot be reached, or has no such model or revision.
        """
        with self._found(f"{name} at {revision}"):
            return Path(
                snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=FILES,
                    local_files_only=self._offline,
                )
            )

    def download_file(self, name: str, file: str, revision: str) -> Path:
        """Gives one file of a model at a revision.

        Raises:
            MissingError: if the Hub cannot be reached, or has no such file.
        """
        with self._found(f"{file} of {name} at {revision}"):
            return Path(
                hf_hub_download(name, file, revision=revision, local_files_only=self._offline)
            )

    @contextmanager
    def _found(self, what: str) -> Iterator[None]:
        try:
            yield
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            where = "in the local cache" if self._offline else "on the Hugging Face Hub"
            raise MissingError(
                f"{what} was not found {where}: {_first_line(error)}",
                remedy="Check the name, the revision and the network, or use a pkg:// model.",
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
