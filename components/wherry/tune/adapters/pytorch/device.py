"""Where a model runs, and in which precision."""

import os
from pathlib import Path

import torch

from wherry.contracts.errors import SettingsError
from wherry.cores import usable_cores
from wherry.tune.settings import TuneSettings

_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Of a CPU with units for bfloat16; without them it is four to five times slower than float32."""
_CPU_INFO = Path("/proc/cpuinfo")


def device_of(settings: TuneSettings, local_rank: int = 0) -> torch.device:
    """Gives the device of a recipe.

    Raises:
        SettingsError: if it asks for a GPU and there is none.
    """
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise SettingsError(
            "device: cuda was asked for, and torch sees no GPU.",
            remedy="Set device: auto in the tune settings, or give the task a GPU.",
        )
    if settings.device == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", local_rank)


def precision_of(settings: TuneSettings, device: torch.device) -> torch.dtype:
    """Gives the precision of the frozen weights and of the computation."""
    if settings.precision == "auto":
        return torch.bfloat16 if _has_bf16(device) else torch.float32
    return torch.bfloat16 if settings.precision == "bfloat16" else torch.float32


def make_repeatable(settings: TuneSettings) -> None:
    """Makes two runs of one recipe give the same bytes on one machine."""
    # cuBLAS needs its workspace fixed before the first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(settings.threads or usable_cores())


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return bool(_BF16_FLAGS & set(_CPU_INFO.read_text().split()))
    except OSError:
        return False
