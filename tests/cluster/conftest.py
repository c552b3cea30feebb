"""A real API server with the TrainJob's CRD, and a stand-in that really runs TrainJobs.

KUBEBUILDER_ASSETS names a folder with `etcd` and `kube-apiserver`, as envtest's tests have it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.control_plane import ControlPlane

if TYPE_CHECKING:
    from tests.cluster.stand_in import StandIn


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS", ""))
    if not all((assets / name).is_file() for name in ("etcd", "kube-apiserver")):
        pytest.skip("KUBEBUILDER_ASSETS names no folder with etcd and kube-apiserver")
    plane = ControlPlane(tmp_path_factory.mktemp("plane"), assets)
    try:
        plane.start()
        from kubernetes import config

        config.load_kube_config(str(plane.kubeconfig))
        plane.apply_crd(Path(__file__).with_name("trainjobs.yaml"))
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def cluster(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["StandIn"]:
    from tests.cluster.stand_in import GROUP, NODE, StandIn

    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    one = StandIn(tmp_path, control_plane.certificate)
    try:
        yield one
    finally:
        from kubernetes import client

        client.CustomObjectsApi().delete_collection_namespaced_custom_object(**GROUP)
        client.CoreV1Api().delete_collection_namespaced_pod("default", grace_period_seconds=0)
        one.stop()
        client.CoreV1Api().delete_node(NODE)
