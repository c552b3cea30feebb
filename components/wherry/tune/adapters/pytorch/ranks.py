"""The processes that learn together: one alone, or those that torchrun started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class Ranks:
    """This process among those that learn together.

    Args:
        rank: its number, counted from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def share(self, batch: Sequence[T]) -> Sequence[T]:
        """Gives this rank's rows of a batch; all ranks' shares together are the batch."""
        return batch[self.rank :: self.size]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all ranks."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def wait(self) -> None:
        """Waits until every rank has come here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Joins the processes that torchrun started, or gives one alone.

    torchrun says by RANK, WORLD_SIZE and MASTER_ADDR who they are:
    https://docs.pytorch.org/docs/stable/elastic/run.html
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Ranks()
        return
    there = torch.cuda.is_available()
    if there:
        torch.cuda.set_device(local_rank())
    dist.init_process_group("cpu:gloo,cuda:nccl" if there else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Gives this process's number on its machine: the GPU that is its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))
