"""Writes a run down as the platforms want it: a TrainJob, a CustomJob."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from wherry.contracts import Digest, digest_bytes
from wherry.images import TRAIN_IMAGE
from wherry.tune.jobs import JOB_HOME, TuneJobSettings

GROUP: Final = "trainer.kubeflow.org"
VERSION: Final = "v1alpha1"
PLURAL: Final = "trainjobs"
MANAGER: Final = "wherry"
"""Whom the API server knows as the owner of the fields that we set."""
RUN_LABEL: Final = "wherry_run"
"""No hyphen: in Vertex's filters it would be a minus."""
FORM_NOTE: Final = "wherry/form"
"""The annotation with the digest of what was asked for."""
_MODULE: Final = ("-m", "--", "wherry.tune.node")
"""What torchrun starts. Behind the two hyphens no option is torchrun's own: it would take
``--start`` for an abbreviation of one."""
_NODE: Final = "node"
"""The name of the training job and of its container in every runtime that Trainer ships."""
_VOLUME: Final = "exchange"


@dataclass(frozen=True)
class Errand:
    """What a job is to do."""

    identity: Digest
    """The same for the same run."""
    arguments: tuple[str, ...]
    """Of ``python -m wherry.tune.node``."""

    @property
    def name(self) -> str:
        """The job's name: a repeated submission finds it."""
        return f"wherry-tune-{self.short}"

    @property
    def short(self) -> str:
        """The identity, short enough for a label."""
        return self.identity.removeprefix("sha256:")[:16]


def train_job(errand: Errand, settings: TuneJobSettings, namespace: str) -> dict[str, Any]:
    """Gives a TrainJob of Kubeflow Trainer 2.2 or newer.

    Source: https://github.com/kubeflow/trainer, pkg/apis/trainer/v1alpha1/trainjob_types.go.
    The torch plugin of the runtime tells torchrun by PET_* variables who its peers are.

    Args:
        errand: what the job is to do.
        settings: what it may use.
        namespace: where it runs.
    """
    spec = {
        "runtimeRef": {"apiGroup": GROUP, "kind": settings.runtime_kind, "name": settings.runtime},
        "activeDeadlineSeconds": int(settings.timeout) or 1,
        "trainer": _filled(
            image=settings.image or TRAIN_IMAGE,
            command=["python", "-m", "torch.distributed.run"],
            args=[*_MODULE, *errand.arguments],
            env=_env(settings),
            numNodes=settings.nodes,
            numProcPerNode=settings.processes_per_node,
            resourcesPerNode=_resources(settings),
        ),
        **_filled(runtimePatches=_patches(settings)),
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": errand.name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "wherry-tune", RUN_LABEL: errand.short},
            "annotations": {FORM_NOTE: digest_bytes(json.dumps(spec, sort_keys=True).encode())},
        },
        "spec": spec,
    }


def lost(asked: Any, given: Any, path: str = "") -> str:
    """Names the first field that an API server did not keep, or gives an empty text.

    A server drops what its CRD does not know without a word, so that a job could run without
    its tolerations, or on no GPU.
    """
    if isinstance(asked, dict):
        if not isinstance(given, dict):
            return path
        pairs = [(asked[key], given.get(key), f"{path}.{key}".strip(".")) for key in asked]
    elif isinstance(asked, list):
        if not isinstance(given, list) or len(asked) != len(given):
            return path
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(asked, given, strict=True))]
    else:
        return "" if asked == given else path
    return next((name for a, b, at in pairs if (name := lost(a, b, at))), "")


def custom_job(errand: Errand, settings: TuneJobSettings) -> dict[str, Any]:
    """Gives a Vertex CustomJob in the JSON form of google.cloud.aiplatform.v1.CustomJob.

    Vertex wants the first machine in a pool of its own.
    """
    sizes = [1, settings.nodes - 1] if settings.nodes > 1 else [1]
    return {
        "display_name": errand.name,
        "labels": {RUN_LABEL: errand.short, "app": "wherry-tune"},
        "job_spec": {
            "worker_pool_specs": [_pool(errand, settings, size) for size in sizes],
            "scheduling": {
                "timeout": f"{int(settings.timeout) or 1}s",
                "strategy": "SPOT" if settings.spot else "STANDARD",
                "disable_retries": True,  # ours take the results of the last attempt away first
            },
            **_filled(service_account=settings.service_account),
        },
    }


def launch(cluster: str, processes: int, arguments: tuple[str, ...]) -> list[str]:
    """Gives torchrun's command line on one of Vertex's machines.

    Args:
        cluster: the variable CLUSTER_SPEC, as
            https://cloud.google.com/vertex-ai/docs/training/distributed-training describes it;
            empty on a machine that is alone.
        processes: of each machine.
        arguments: of ``python -m wherry.tune.node``.
    """
    run = [*_MODULE, *arguments]
    spec = json.loads(cluster or "{}")
    pools: dict[str, list[str]] = spec.get("cluster", {})
    hosts = [host for name in sorted(pools) for host in pools[name]]
    if len(hosts) < 2:
        return [f"--nproc-per-node={processes}", "--standalone", *run]
    own, index = spec["task"]["type"], int(spec["task"]["index"])
    before = sum(len(pools[name]) for name in sorted(pools) if name < own)
    address, _, port = hosts[0].rpartition(":")
    return [
        f"--nproc-per-node={processes}", f"--nnodes={len(hosts)}", f"--node-rank={before + index}",
        f"--master-addr={address}", f"--master-port={port}", *run,
    ]  # fmt: skip


def _pool(errand: Errand, settings: TuneJobSettings, size: int) -> dict[str, Any]:
    env = [{"name": name, "value": value} for name, value in sorted(settings.env.items())]
    machine = {"machine_type": settings.machine}
    accelerator = {
        "accelerator_type": settings.gpu,
        "accelerator_count": settings.gpus,
        **_filled(gpu_partition_size=settings.gpu_share),
    }
    return {
        "machine_spec": {**machine, **accelerator} if settings.gpus else machine,
        "replica_count": size,
        "container_spec": {
            "image_uri": settings.image or TRAIN_IMAGE,
            "command": ["python", "-m", "wherry.tune.launch"],
            "args": ["--processes", str(settings.processes_per_node), *errand.arguments],
            "env": [{"name": "WHERRY_HOME", "value": "/tmp/wherry"}, *env],  # noqa: S108 # in a container of its own
        },
    }


def _env(settings: TuneJobSettings) -> list[dict[str, Any]]:
    plain = {"WHERRY_HOME": JOB_HOME, **settings.env}
    found: list[dict[str, Any]] = [{"name": k, "value": v} for k, v in sorted(plain.items())]
    for name, place in sorted(settings.secrets.items()):
        secret, _, key = place.partition("/")
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return found


def _resources(settings: TuneJobSettings) -> dict[str, Any]:
    gpus = {settings.gpu: str(settings.gpus)} if settings.gpus else {}
    own = _filled(cpu=settings.cpu, memory=settings.memory)
    return _filled(requests={**own, **gpus}, limits={**_filled(memory=settings.memory), **gpus})


def _patches(settings: TuneJobSettings) -> list[dict[str, Any]]:
    pod = _filled(
        serviceAccountName=settings.service_account,
        nodeSelector=dict(settings.node_selector),
        tolerations=[_filled(**asdict(one)) for one in settings.tolerations],
        **_mounted(settings),
    )
    if not pod:
        return []
    job = {"name": _NODE, "template": {"spec": {"template": {"spec": pod}}}}
    patch = {"template": {"spec": {"replicatedJobs": [job]}}}
    return [{"manager": MANAGER, "trainingRuntimeSpec": patch}]


def _mounted(settings: TuneJobSettings) -> dict[str, Any]:
    if not settings.claim:
        return {}
    claim = {"name": _VOLUME, "persistentVolumeClaim": {"claimName": settings.claim}}
    mount = {"name": _VOLUME, "mountPath": settings.mount}
    return {"volumes": [claim], "containers": [{"name": _NODE, "volumeMounts": [mount]}]}


def _filled(**fields: Any) -> dict[str, Any]:
    """Gives the fields that say something."""
    return {name: value for name, value in fields.items() if value not in ("", [], {}, 0)}
