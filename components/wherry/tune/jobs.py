"""Where a tuning run is carried out, and what it may use there."""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal

JOB_HOME: Final = "/tmp"  # noqa: S108 # in a container of its own
"""A job's state lies on the pod's own disk; `file:` URIs then lead to any mounted volume."""
SHARED: Final = re.compile(r"\.shared$|/mig-")
"""Resource names that stand for a share of a GPU: time slices and MIG profiles."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RESOURCE: Final = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_CPU: Final = re.compile(r"[0-9]+(\.[0-9]{1,3})?|[0-9]+m")
_MEMORY: Final = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")
"""No ``m``: it means thousandths of a byte there."""
_ACCOUNT: Final = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_LABEL: Final = re.compile(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_LABEL_KEY: Final = re.compile(
    r"([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", re.ASCII
)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET: Final = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+")
_EXCHANGE: Final = re.compile(r"(s3://|gs://|file:).+")
_RESERVED: Final = ("PET_", "MASTER_", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables by which torchrun's processes find each other."""


@dataclass(frozen=True)
class Toleration:
    """A taint that the job's pods put up with, in Kubernetes' own words."""

    key: str = ""
    """The taint's key; empty for any, with the operator ``Exists``."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Whether the taint's value counts."""
    value: str = ""
    """The taint's value, where the operator is ``Equal``."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """The taint's effect; empty for any."""

    def __post_init__(self) -> None:
        if self.value and self.operator == "Exists":
            raise ValueError(f"value needs operator Equal in a toleration, got {self.value!r}")
        if not self.key and self.operator == "Equal":
            raise ValueError("key must be set in a toleration whose operator is Equal, got ''")


@dataclass(frozen=True)
class TuneJobSettings:
    """Where a tuning run is carried out; its recipe is a `TuneSettings`, the same everywhere."""

    target: Literal["local", "kubeflow", "vertex"] = "local"
    """``local`` is this process; ``kubeflow`` a TrainJob of Kubeflow Trainer 2.2 or newer;
    ``vertex`` a CustomJob."""
    exchange: str = ""
    """The URI of a folder that this task and the job both reach: ``s3://…``, ``gs://…`` or
    ``file:…`` on a shared volume. Inputs, checkpoints and results lie there."""
    image: str = ""
    """The container image; empty for the training image of this version."""
    nodes: int = 1
    """Machines."""
    gpus: int = 0
    """GPUs of each machine; one process learns on each."""
    gpu: str = "nvidia.com/gpu"
    """What a GPU is called: a Kubernetes resource, such as ``nvidia.com/gpu``, or for a share of
    one ``nvidia.com/gpu.shared`` or ``nvidia.com/mig-1g.10gb``; on Vertex ``NVIDIA_L4``."""
    gpu_share: str = ""
    """On Vertex the size of a MIG share, such as ``1g.10gb``; empty for the whole GPU."""
    processes: int = 0
    """Processes of each machine; 0 for one a GPU, or one where there is none."""
    cpu: str = ""
    """CPUs of each machine as a Kubernetes quantity, such as ``4``; empty for the runtime's."""
    memory: str = ""
    """Its memory as a Kubernetes quantity, such as ``16Gi``; empty for the runtime's."""
    machine: str = "n1-standard-8"
    """The machine type on Vertex."""
    spot: bool = False
    """Whether Vertex may take the machines back at any time, for a lower price."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that the job's pods put up with."""
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels that a node must have."""
    service_account: str = ""
    """Whom the job acts as; empty for the platform's default."""
    namespace: str = ""
    """The Kubernetes namespace; empty for this task's own."""
    runtime: str = "torch-distributed"
    """The training runtime that the job is built on. Its pods have a container ``node``."""
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    """Whether the runtime is the whole cluster's or the namespace's."""
    project: str = ""
    """The Google Cloud project."""
    location: str = "us-central1"
    """Its region."""
    claim: str = ""
    """A PersistentVolumeClaim to mount, where the exchange is a ``file:`` URI."""
    mount: str = "/exchange"
    """Where the claim is mounted: the exchange ``file:exchange/wherry`` is ``/exchange/wherry`` in
    the job."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables of the job. They are no place for secrets: everybody who may read
    jobs reads them."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Environment variables from Kubernetes Secrets: name to ``secret/key``."""
    retries: int = 2
    """How often a job that failed or was taken its machines is started again. It goes on from
    its last checkpoint."""
    timeout: float = 86_400.0
    """How long the whole may take, in seconds, all attempts together; then it is cancelled."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("nodes", 1, 512),
            ("gpus", 0, 16),
            ("processes", 0, 64),
            ("retries", 0, 100),
            ("timeout", 1, 30 * 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be in [{low}, {high}], got {value}")
        if self.target != "local":
            self._check_job()
        if self.target == "kubeflow":
            self._check_kubeflow()
        if self.target == "vertex":
            self._check_vertex()

    @property
    def processes_per_node(self) -> int:
        """How many processes learn on each machine."""
        return self.processes or max(1, self.gpus)

    @property
    def ranks(self) -> int:
        """How many processes learn together."""
        return self.nodes * self.processes_per_node

    def _check_job(self) -> None:
        if not _EXCHANGE.fullmatch(self.exchange):
            raise ValueError(
                f"exchange must be an s3://, gs:// or file: URI where target is {self.target}, "
                f"got {self.exchange!r}"
            )
        for name in (*self.env, *self.secrets):
            if not _VARIABLE.fullmatch(name) or name.startswith(_RESERVED):
                raise ValueError(
                    f"env and secrets must name variables that are not torchrun's, got {name!r}"
                )
        if both := sorted(self.env.keys() & self.secrets.keys()):
            raise ValueError(f"{both[0]} must stand in env or in secrets, got both")
        if self.gpus and self.processes > self.gpus:
            raise ValueError(f"processes must be at most gpus, {self.gpus}, got {self.processes}")

    def _check_kubeflow(self) -> None:
        if not _RESOURCE.fullmatch(self.gpu):
            raise ValueError(f"gpu must be a resource such as nvidia.com/gpu, got {self.gpu!r}")
        if SHARED.search(self.gpu) and self.gpus > 1:
            # A process sees one MIG instance, and NCCL refuses two ranks on one device.
            raise ValueError(f"gpus must be 1 where gpu is a share, {self.gpu}; got {self.gpus}")
        for name, form, such in (("cpu", _CPU, "4 or 500m"), ("memory", _MEMORY, "16Gi")):
            if (value := getattr(self, name)) and not form.fullmatch(value):
                raise ValueError(f"{name} must be a quantity such as {such}, got {value!r}")
        for value in self.secrets.values():
            if not _SECRET.fullmatch(value):
                raise ValueError(f"secrets must give secret/key for a name, got {value!r}")
        self._check_pods()
        if self.exchange.startswith("file:"):
            self._check_volume()

    def _check_pods(self) -> None:
        """Refuses what no pod may have: a job of such pods would wait for them in vain."""
        for name, form in (("namespace", _NAME), ("claim", _NAME), ("service_account", _ACCOUNT)):
            if (value := getattr(self, name)) and not form.fullmatch(value):
                raise ValueError(f"{name} must be lower-case letters, digits and -, got {value!r}")
        for key, value in self.node_selector.items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL.fullmatch(value)):
                raise ValueError(f"node_selector must name labels, got {key!r}: {value!r}")

    def _check_volume(self) -> None:
        if not self.claim:
            raise ValueError("claim must name the volume that a file: exchange lies on, got ''")
        workspace = PurePosixPath(self.env.get("WHERRY_HOME", JOB_HOME)).parent
        there = workspace / self.exchange.removeprefix("file:")
        if not there.is_relative_to(self.mount):
            raise ValueError(
                f"mount must be where the exchange lies in the job, {there} or above it, "
                f"got {self.mount!r}"
            )

    def _check_vertex(self) -> None:
        if not self.project:
            raise ValueError("project must be set where target is vertex, got ''")
        if not self.exchange.startswith("gs://"):
            raise ValueError(f"exchange must be a gs:// URI on Vertex, got {self.exchange!r}")
        if self.gpus and "/" in self.gpu:
            raise ValueError(f"gpu must be Vertex's name such as NVIDIA_L4, got {self.gpu!r}")
        if self.secrets:
            raise ValueError("secrets are Kubernetes': give the service account access on Vertex")
