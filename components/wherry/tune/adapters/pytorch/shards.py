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
from transformers import PreTrainedModel

from wherry.contracts.errors import SettingsError


def spread(model: PreTrainedModel, device: torch.device) -> None:
    """Leaves on this rank its part of every weight, and moves that to a device.

    Args:
        model: whole, the same on every rank, and not yet learning.
        device: this rank's own.

    Raises:
        SettingsError: if the model's layers are not where they are looked for.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    layers = getattr(decoder, "layers", None)
    if layers is None:
        raise SettingsError(
            f"shard: full knows no layers in a {type(model).__name__}.",
            remedy="Set shard: none in the tune settings.",
        )
    tied = head.weight is model.get_input_embeddings().weight
    for part in (*layers, decoder, *(() if tied else (head,))):
        own = fully_shard(part, mesh=mesh)
        # A loss is divided by the whole batch's weight: gradients are added up, not averaged.
        own.set_gradient_divide_factor(1.0)
        own.set_force_sum_reduction_for_comms(True)


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
