"""Spreads a model over the ranks: each keeps a part of every weight.

FSDP2: a layer is gathered when it is its turn, and let go after it.
https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Module
from transformers import PreTrainedModel

from wherry.contracts.errors import SettingsError


def spread(model: PreTrainedModel, device: torch.device) -> None:
    """Leaves on this rank its part of every weight, and moves that to a device.

    Args:
        model: whole, the same on every rank, and not yet learning.
        device: this rank's own.

    Raises:
        SettingsError: if the model's layers are not where they are looked for, or the one
            matrix of its embeddings and its head would be trained.
    """
    parts = _parts(model)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for part in parts:
        own = fully_shard(part, mesh=mesh)
        # A loss is divided by the whole batch's weight: gradients are added up, not averaged.
        own.set_gradient_divide_factor(1.0)
        own.set_force_sum_reduction_for_comms(True)


def _parts(model: PreTrainedModel) -> tuple[Module, ...]:
    """Gives what is spread, each gathered by itself; a tied head's matrix stays whole."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    layers = getattr(decoder, "layers", None)
    if layers is None:
        raise SettingsError(
            f"shard: full knows no layers in a {type(model).__name__}.",
            remedy="Set shard: none in the tune settings.",
        )
    if head.weight is not model.get_input_embeddings().weight:
        return (*layers, decoder, head)
    # FSDP puts a part in the embeddings' place and leaves the head the matrix as it was: the two
    # would be trained apart.
    if head.weight.requires_grad:
        raise SettingsError(
            f"shard: full cannot train the matrix that embeddings and head of this "
            f"{type(model).__name__} share, as method: full does with frozen_share 0.",
            remedy="Set frozen_share above 0, method: lora or shard: none in the tune settings.",
        )
    return (*layers, decoder)


def whole(tensor: Tensor) -> Tensor:
    """Gathers a spread tensor in main memory, others stay as they are; all ranks must call it."""
    plain = tensor.detach()
    return plain.full_tensor().cpu() if isinstance(plain, DTensor) else plain


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """Gives a whole tensor in another's form: on its device, and this rank's part if it is spread.

    Args:
        value: the same on all ranks.
        like: of the same shape.
    """
    there = value.to(like.device)
    if not isinstance(like, DTensor):
        return there
    return distribute_tensor(there, like.device_mesh, like.placements, src_data_rank=None)
