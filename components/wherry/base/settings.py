"""What can be set when a base model is fetched."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BaseSettings:
    """How a base model is fetched."""

    offline: bool = False
    """Refuse to reach the network: an ``hf://`` model must lie in the local cache already."""
    licence: str = ""
    """Licence to record, as an SPDX identifier; empty for what the model's own file says."""
    template: str = ""
    """The chat template: empty for the model's own; a family's, such as ``chatml``, a Jinja file
    below the workspace or Jinja itself, for a model that has none or another; ``none`` for one that
    reads plain text alone, and no conversations."""
