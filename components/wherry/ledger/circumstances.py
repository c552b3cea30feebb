"""Finds out where a change is made from: which run, on which platform, in which environment."""

import hashlib
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

import wherry
from wherry.contracts import Digest
from wherry.ledger.records import Circumstances, Environment, Run
from wherry.progress import EVENTS_VARIABLE

RUN_VARIABLE: Final = "WHERRY_RUN_ID"
"""Names the run; a pipeline sets it to its platform's own id."""
IMAGE_VARIABLE: Final = "WHERRY_IMAGE"
"""Names the container's image with its digest; whoever builds or starts the image sets it."""
_VERTEX_JOB: Final = "CLOUD_ML_JOB_ID"
_POD: Final = ("KFP_POD_NAME", "HOSTNAME")


def process_circumstances() -> Circumstances:
    """Gives those of this process."""
    return Circumstances(run=_run(), environment=_environment())


def _run() -> Run | None:
    if job := os.environ.get(_VERTEX_JOB):
        return Run("vertex", os.environ.get(RUN_VARIABLE) or job, task=job)
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        pod = next((os.environ[name] for name in _POD if os.environ.get(name)), "")
        return Run("kubeflow", os.environ.get(RUN_VARIABLE, ""), task=pod)
    if events := os.environ.get(EVENTS_VARIABLE):
        # .wherry/runs/ID/events.jsonl
        return Run("local", os.environ.get(RUN_VARIABLE) or Path(events).parent.name)
    return Run("local", run) if (run := os.environ.get(RUN_VARIABLE)) else None


@cache
def _environment() -> Environment:
    return Environment(
        wherry=wherry.__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=os.cpu_count() or 0,
        packages=_packages(),
        image=os.environ.get(IMAGE_VARIABLE, ""),
    )


def _packages() -> Digest:
    """Gives the digest of ``NAME==VERSION`` lines, sorted: of `pip freeze` without its extras."""
    lines = {f"{one.name.lower()}=={one.version}" for one in metadata.distributions() if one.name}
    text = "".join(f"{line}\n" for line in sorted(lines))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
