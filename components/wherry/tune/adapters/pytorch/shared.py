"""Checkpoints of several ranks: the first keeps them, all go on from them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from wherry.tune.adapters.pytorch.ranks import Ranks
from wherry.tune.checkpoints import FolderCheckpoints, Saved
from wherry.tune.step import Checkpoints, Learner, Progress

_PIECE: Final = 1 << 26
"""Bytes sent at once."""
_PROGRESS: Final = "progress.json"


class RankCheckpoints:
    """One rank's view of the checkpoints that the first rank keeps.

    What is learnt is the same on all ranks after a step, so that one of them can save it, and
    its bytes are all that the others need: their disks may be on other machines.

    Args:
        own: the first rank's checkpoints; nothing on the others.
        ranks: this rank among all.
        device: where tensors are sent from.
        take_part: has this rank give its part of a state that the first rank saves.
        wanted_back: whether this rank's machine is, by now.
    """

    def __init__(
        self,
        own: Checkpoints,
        ranks: Ranks,
        device: torch.device,
        take_part: Callable[[], None],
        wanted_back: Callable[[], bool],
    ) -> None:
        self._own = own
        self._ranks = ranks
        self._device = device
        self._take_part = take_part
        self._wanted_back = wanted_back

    def resume(self, learner: Learner) -> Progress | None:
        """Brings all ranks to the last whole checkpoint of the same run, if there is one."""
        found = self._own.resume(learner) if self._ranks.first else None
        with self._sent(found) as folder:
            if folder is None or self._ranks.first:
                return found
            learner.load_state(folder)
            return Saved.read(folder / _PROGRESS).progress

    def save(self, progress: Progress, learner: Learner) -> None:
        """Has the first rank keep a checkpoint; no rank goes on, or ends, before it has."""
        if isinstance(self._own, FolderCheckpoints):
            self._own.save(progress, learner)
        else:
            self._take_part()
        self._ranks.wait()

    def leaving(self) -> bool:
        """Whether any rank's machine is wanted back: all leave at the same step."""
        told = torch.tensor([float(self._wanted_back())], device=self._device)
        self._ranks.add_up([told])
        return bool(told.item())

    @contextmanager
    def _sent(self, found: Progress | None) -> Iterator[Path | None]:
        """Gives a folder with the checkpoint's files on every rank, or None."""
        taken = self._own.taken if found and isinstance(self._own, FolderCheckpoints) else None
        files = sorted(taken.iterdir()) if taken else []
        if not (count := self._number(len(files))):
            yield None
            return
        with tempfile.TemporaryDirectory() as place:
            for index in range(count):
                self._send_file(files[index] if files else None, Path(place))
            yield Path(place)

    def _send_file(self, file: Path | None, folder: Path) -> None:
        name = self._send(file.name.encode() if file else b"").decode()
        size = self._number(file.stat().st_size if file else 0)
        source = file.open("rb") if file else None
        with (folder / name).open("wb") as copy:
            for start in range(0, size, _PIECE):
                piece = source.read(min(_PIECE, size - start)) if source else b""
                given = self._send(piece)
                if not source:
                    copy.write(given)
        if source:
            source.close()

    def _send(self, data: bytes) -> bytes:
        """Gives every rank the first rank's bytes, of which there is one at least."""
        size = self._number(len(data))
        tensor = torch.zeros(size, dtype=torch.uint8, device=self._device)
        if self._ranks.first:
            tensor.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self._broadcast(tensor)
        return bytes(tensor.cpu().numpy())

    def _number(self, value: int) -> int:
        """Gives every rank the first rank's number."""
        tensor = torch.tensor([value], dtype=torch.int64, device=self._device)
        self._broadcast(tensor)
        return int(tensor.item())

    def _broadcast(self, tensor: Tensor) -> None:
        if self._ranks.size > 1:
            dist.broadcast(tensor, src=0)
