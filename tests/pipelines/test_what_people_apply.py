"""The images and the manifests are what the compiled pipelines need."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wherry import images
from wherry.signing import load_signer

CONTAINERFILE = Path("images/Containerfile").read_text()
BASE = Path("manifests/base")
IMAGES = {"base": images.BASE_IMAGE, "train": images.TRAIN_IMAGE, "serve": images.SERVE_IMAGE}


def manifest(kind: str) -> dict[str, Any]:
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    found = [yaml.safe_load((BASE / name).read_text()) for name in names]
    return next(one for one in found if one["kind"] == kind)


def stages() -> dict[str, tuple[str, str]]:
    """Each stage of the Containerfile: what it is built on, and its lines."""
    parts = re.split(r"^FROM (\S+) AS (\w+)$", CONTAINERFILE, flags=re.MULTILINE)[1:]
    return {name: (base, text) for base, name, text in zip(*[iter(parts)] * 3, strict=True)}


NEEDED = {
    "base": {"pipelines", "ingest", "validate", "report"},
    "train": {"pipelines", "benchmarks", "quantize", "search", "kubeflow", "vertex"},
    "serve": {"pipelines", "serve"},
}
"""The extras that the components of an image ask for when one is missing."""


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_of_a_component_can_run_a_task_of_kfp(name: str) -> None:
    lines, stage = "", name
    while stage in stages():
        stage, text = stages()[stage]
        lines += text
    extras = ",".join(re.findall(r"\.whl\)\[([^]]+)\]", lines)).split(",")
    assert set(extras) >= NEEDED[name] | {"$EXTRAS"}
    assert "ARG EXTRAS\n" in lines  # a stage sees an argument that it names alone
    assert "useradd --uid 1000" in lines


def test_the_state_is_prepared_as_the_user_of_the_images() -> None:
    spec = manifest("Job")["spec"]["template"]["spec"]
    who = spec["securityContext"]
    assert (who["runAsUser"], who["runAsGroup"], who["fsGroup"]) == (1000, 1000, 1000)
    assert "USER 1000:1000" in stages()["base"][1]
    assert spec["containers"][0]["image"] == images.BASE_IMAGE
    claim = spec["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("PersistentVolumeClaim")["metadata"]["name"]


def test_preparing_the_state_twice_leaves_one_key(tmp_path: Path) -> None:
    container = manifest("Job")["spec"]["template"]["spec"]["containers"][0]
    command = tmp_path / "bin" / "wherry"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom wherry.cli import main\nmain()\n")
    command.chmod(0o755)
    home = tmp_path / "state"
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "WHERRY_HOME": str(home), "PATH": path}
    environment.pop("WHERRY_KEYS", None)
    keys = []
    for _ in range(2):
        subprocess.run(container["command"], env=environment, check=True, timeout=60)
        keys.append(load_signer(home / "keys").key)
    assert keys[0] == keys[1]
    assert keys[0].owner == "pipeline"
