"""Loads a base in four bits so that it can be learnt through: QLoRA.

Source: https://arxiv.org/abs/2305.14314.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from wherry.contracts.errors import ExtraMissingError, SettingsError


def four_bit(precision: torch.dtype) -> Any:
    """Gives transformers' settings of such a base.

    Args:
        precision: of the computation.

    Raises:
        ExtraMissingError: if bitsandbytes is not installed.
        SettingsError: if it does not run on this machine.
    """
    try:
        import bitsandbytes  # noqa: F401  # only to see that it can be
        from transformers import BitsAndBytesConfig
    except ImportError as error:
        raise ExtraMissingError(
            f"QLoRA needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[qlora]", or set method: lora.',
        ) from error
    except Exception as error:  # its native library does not load on every device
        raise SettingsError(
            f"QLoRA needs bitsandbytes, which does not run here: {error}.",
            remedy="Set method: lora in the tune settings.",
        ) from error
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision,
    )


def keep_learnable(model: PreTrainedModel) -> None:
    """Keeps a base's layers in the form that gradients flow through.

    On a CPU with AVX512-BF16 bitsandbytes 0.50 packs a layer's weights anew when it is first
    asked without gradients, as it is when the eval loss is measured. From then on the layer is no
    part of the graph, and the learning goes wrong without a word; and it cannot pack a layer
    whose width does not divide by 64. `Linear4bit.forward` looks at this flag.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
