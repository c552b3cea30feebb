"""Downloads a model from the Hugging Face Hub, or finds it in the local cache."""

from pathlib import Path

from huggingface_hub import snapshot_download
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
        try:
            return Path(
                snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=FILES,
                    local_files_only=self._offline,
                )
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            where = "in the local cache" if self._offline else "on the Hugging Face Hub"
            raise MissingError(
                f"{name} at {revision} was not found {where}: {_first_line(error)}",
                remedy="Check the name, the revision and the network, or use a pkg:// model.",
            ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
