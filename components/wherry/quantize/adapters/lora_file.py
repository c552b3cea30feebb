"""Writes a LoRA adapter alone as GGUF, for a server of many adapters on one base.

The form is that of llama.cpp's ``convert_lora_to_gguf.py``: ``NAME.lora_a`` of shape
[rank, row length] and ``NAME.lora_b`` of shape [rows, rank], in float32, and one alpha.
"""

import json
from pathlib import Path
from typing import Any, Final, Protocol

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from wherry.contracts.errors import FormatError
from wherry.quantize.ending import put
from wherry.quantize.families import FAMILIES, Metadata
from wherry.quantize.header import Wanted, check

CONFIG_NAME: Final = "adapter_config.json"
_WEIGHTS_NAME: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
_PLAIN: Final = {"use_dora": False, "bias": "none", "modules_to_save": None}
"""What llama.cpp can apply: these settings of PEFT, and no other."""


class Target(Protocol):
    """The base that the adapter is for, as its GGUF file names it."""

    @property
    def architecture(self) -> str:
        """Such as ``llama``."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's shape as numpy has it."""

    @property
    def value(self) -> Metadata:
        """Gives a metadata value, or None."""

    def named(self, old: str) -> str:
        """Gives the GGUF name of one of transformers' weights."""


def write(path: Path, adapter: Path, target: Target) -> None:
    """Writes a LoRA or rsLoRA adapter and checks what then lies on the disk.

    llama.cpp scales by alpha over rank, for all matrices alike. What PEFT scales otherwise
    (rsLoRA, patterns of rank or alpha) is multiplied into ``lora_b``.

    Args:
        path: the new file.
        adapter: the adapter's folder in PEFT's form.
        target: the base.

    Raises:
        FormatError: if the adapter is of a kind that llama.cpp does not apply, or not the base's.
    """
    config = _config(adapter)
    writer = gguf.GGUFWriter(path, target.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    meant = {}
    for name, values in _tensors(adapter, config, target).items():
        writer.add_tensor(name, values)
        kind = gguf.GGMLQuantizationType.F32.value
        meant[name] = Wanted(values.shape, kind, values.nbytes, zero=not values.any())
    put(writer, path)
    check(path, meant)


def _config(adapter: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((adapter / CONFIG_NAME).read_text())
    if (kind := config.get("peft_type")) != "LORA":
        raise _refused(f"of the type {kind}")
    for name, wanted in _PLAIN.items():
        if config.get(name) not in (wanted, None, []):
            raise _refused(f"made with {name}={config[name]!r}")
    if not config.get("lora_alpha"):  # llama.cpp would take it for 'unscaled'
        raise _refused("made with lora_alpha=0")
    return config


def _refused(what: str) -> FormatError:
    return FormatError(
        f"The adapter is {what}, which llama.cpp cannot apply to a base.",
        remedy="Tune with lora or rslora, or leave adapter_only out to merge it into the base.",
    )


def _tensors(
    adapter: Path, config: dict[str, Any], target: Target
) -> dict[str, NDArray[np.float32]]:
    weights = load_file(adapter / _WEIGHTS_NAME)
    made: dict[str, NDArray[np.float32]] = {}
    for key in sorted(weights):
        module, _, half = key.removeprefix(_PREFIX).rpartition(".lora_")
        if half not in ("A.weight", "B.weight"):
            raise _refused(f"with a tensor {key}")
        name = target.named(f"{module}.weight")
        if name not in target.shapes or name.startswith("token_embd"):
            raise _refused(f"of {module}, which the base's file has no matrix for")
        # Through torch: numpy has no bfloat16, in which many adapters are kept.
        values = weights[key].float().numpy()
        if half == "A.weight":
            made[f"{name}.lora_a"] = values
        else:
            factor = _scale(module, values.shape[1], config)
            changed = FAMILIES[target.architecture](f"{name}.lora_b", values, target.value)
            made[f"{name}.lora_b"] = np.ascontiguousarray(changed * np.float32(factor))
    _check_pairs(made, target)
    return made


def _scale(module: str, rank: int, config: dict[str, Any]) -> float:
    """Gives what PEFT scales a matrix by, over what llama.cpp will."""
    alphas = config.get("alpha_pattern") or {}
    # PEFT matches a pattern against the end of the module's name.
    own = [value for end, value in alphas.items() if module == end or module.endswith(f".{end}")]
    alpha = float(own[0] if own else config["lora_alpha"])
    divisor = rank**0.5 if config.get("use_rslora") else rank
    return alpha / divisor / (float(config["lora_alpha"]) / rank)


def _check_pairs(made: dict[str, NDArray[np.float32]], target: Target) -> None:
    for name in {key.rpartition(".lora_")[0] for key in made}:
        one, other = made.get(f"{name}.lora_a"), made.get(f"{name}.lora_b")
        whole = one is not None and other is not None and other.shape[1] == one.shape[0]
        if not whole or (other.shape[0], one.shape[1]) != target.shapes[name]:  # type: ignore[union-attr]  # whole
            raise FormatError(
                f"The adapter's halves of {name} do not make its shape {target.shapes[name]}.",
                remedy="Use the adapter with the base that it was trained on.",
            )
