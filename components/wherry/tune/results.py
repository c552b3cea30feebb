"""What a job leaves behind, and how it becomes what a run here would have given."""

import tempfile
from pathlib import Path
from typing import Final

from wherry.contracts import Digest, ModelRef
from wherry.contracts.curve import LossCurve
from wherry.contracts.errors import DigestError, MissingError, WherryError
from wherry.contracts.files import staged_folder, write_atomic
from wherry.tune.adapters.bucket import Bucket
from wherry.tune.parts import Parts
from wherry.tune.submit import Failure

RESULT: Final = "result"
"""The sealed folder with everything below."""
ADAPTER: Final = "adapter"
CURVE: Final = "curve.json"
MERGED: Final = "merged"
FAILURE: Final = "failure.json"
"""Beside `RESULT`: why there is none."""


class BucketExchange:
    """Where one run's results lie; see `wherry.tune.submit.Exchange`.

    Args:
        bucket: of the exchange.
        at: the run's folder there.
    """

    def __init__(self, bucket: Bucket, at: str) -> None:
        self._bucket = bucket
        self._at = at

    def ready(self) -> bool:
        """Whether whole results lie there."""
        return self._bucket.digest(f"{self._at}/{RESULT}") is not None

    def failure(self) -> Failure | None:
        """Why the job failed, if it could tell."""
        raw = self._bucket.read(f"{self._at}/{FAILURE}")
        try:
            return Failure.from_json(raw) if raw is not None else None
        except WherryError:
            return None  # half written: the job's log has it

    def clear(self) -> None:
        """Removes the results and the failure of an earlier attempt."""
        self._bucket.remove(self._at)

    def publish(self, parts: Parts, adapter: Path, curve: Path, merged: Path | None) -> LossCurve:
        """Brings the results here, every byte checked, in the form that a run here gives.

        Args:
            parts: what the run was made of.
            adapter: the folder to make.
            curve: the file to write.
            merged: the folder to make of the whole model, or None.

        Raises:
            MissingError: if the job ended well and left nothing.
            DigestError: if it left something that was learnt from other data or another base.
        """
        adapter.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=adapter.parent) as place:
            found = Path(place) / RESULT
            self._bucket.pull(f"{self._at}/{RESULT}", found)
            seen = _checked(found, parts)
            for name, out in ((ADAPTER, adapter), (MERGED, merged)):
                if out is not None:
                    _published(found / name, out)
            write_atomic(curve, (found / CURVE).read_bytes())
        return seen


def input_at(digest: Digest) -> str:
    """Gives where a sealed folder lies in an exchange: by its content, so that it goes once."""
    return f"inputs/{digest.removeprefix('sha256:')[:32]}"


def _checked(found: Path, parts: Parts) -> LossCurve:
    curve = LossCurve.read(found / CURVE)
    model = ModelRef.verified(found / ADAPTER)
    learnt = (model.base_digest, curve.base_digest, curve.data_digest)
    wanted = (parts.origin.digest, parts.origin.digest, parts.data.split("train").digest)
    if learnt != wanted:
        raise DigestError(
            f"The job's results are of base and data {learnt[1:]}, expected {wanted[1:]}.",
            remedy="Look who else writes to the exchange, and run the same command again.",
        )
    return curve


def _published(found: Path, out: Path) -> None:
    if not found.is_dir():
        raise MissingError(
            f"The job left no {found.name}.", remedy="Remove its results and run it again."
        )
    ModelRef.verified(found)
    with staged_folder(out) as staged:
        for path in found.iterdir():
            path.rename(staged / path.name)
