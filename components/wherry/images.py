"""The one place that names our container images; the tag is the version of this package."""

import os
from typing import Final

from wherry import __version__

_REGISTRY: Final = os.environ.get("WHERRY_REGISTRY", "ghcr.io/wherry-ml")
"""A team that mirrors the images sets it before it compiles."""
_TAG: Final = os.environ.get("WHERRY_IMAGE_TAG", __version__)
"""A local run, which has no image, puts a digest of the code here: see `runtime.identity`."""

BASE_IMAGE: Final = f"{_REGISTRY}/wherry-python-base:{_TAG}"
"""Ingest, validate, gate, release, report: no torch inside."""

TRAIN_IMAGE: Final = f"{_REGISTRY}/wherry-python-train:{_TAG}"
"""Tune, evaluate, quantize: torch, transformers, PEFT and llama.cpp."""

SERVE_IMAGE: Final = f"{_REGISTRY}/wherry-python-serve:{_TAG}"
"""The model server: KServe and llama.cpp."""
