"""A real etcd and kube-apiserver on free ports, without a kubelet or a controller."""

import os
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TOKEN = "of-a-test"  # known to this server alone


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class ControlPlane:
    """Both servers, their folder, and how to reach them."""

    folder: Path
    assets: Path
    port: int = field(default_factory=free_port)
    _servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, and its key."""
        return self.folder / "certs/apiserver.crt", self.folder / "certs/apiserver.key"

    def start(self) -> None:
        store, peer = free_port(), free_port()
        own, peers = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peer}"
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", self.folder / "sa.pub"],
                       check=True, capture_output=True)  # fmt: skip
        (self.folder / "tokens.csv").write_text(f'{TOKEN},tester,tester,"system:masters"\n')
        self._serve(
            "etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={own}",
            f"--advertise-client-urls={own}", f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        self._serve(
            "kube-apiserver", f"--etcd-servers={own}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self.port}", "--insecure-port=0",
            f"--cert-dir={self.folder / 'certs'}", "--service-cluster-ip-range=10.99.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={self.folder / 'sa.pub'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
            "--kubelet-preferred-address-types=InternalIP",
        )  # fmt: skip
        self._write_kubeconfig()
        self._wait_ready()

    def stop(self) -> None:
        for server in reversed(self._servers):
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def apply_crd(self, path: Path) -> None:
        from kubernetes import client

        body: dict[str, Any] = yaml.safe_load(path.read_text())
        api = client.ApiextensionsV1Api()
        api.create_custom_resource_definition(body)
        name = body["metadata"]["name"]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = api.read_custom_resource_definition(name).status.conditions or []
            if any(c.type == "Established" and c.status == "True" for c in found):
                time.sleep(0.5)  # the new path is served a moment later
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} was not established")

    def _serve(self, name: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        environment = {**os.environ, "GOMAXPROCS": "2"}
        self._servers.append(
            subprocess.Popen([self.assets / name, *arguments], stdout=log, stderr=log,
                             env=environment, cwd=self.folder)
        )  # fmt: skip

    def _wait_ready(self) -> None:
        import ssl

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._servers[-1].poll() is None, (
                self.folder / "kube-apiserver.log"
            ).read_text()
            try:
                with urllib.request.urlopen(request, context=context, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.2)
        raise AssertionError("the API server did not become ready")

    def _write_kubeconfig(self) -> None:
        cluster = {"server": f"https://127.0.0.1:{self.port}",
                   "certificate-authority": str(self.certificate[0])}  # fmt: skip
        context = {"cluster": "c", "user": "u", "namespace": "default"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "t",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "t", "context": context}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))
