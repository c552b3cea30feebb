"""The images and the manifests are what the compiled pipelines need."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
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


def built(name: str) -> str:
    """All lines that make an image, those of the stages below it too."""
    lines, stage = "", name
    while stage in stages():
        stage, text = stages()[stage]
        lines += text
    assert stage == "$PYTHON"
    return lines


@pytest.mark.parametrize("name", IMAGES)
def test_every_image_of_a_component_can_run_a_task_of_kfp(name: str) -> None:
    lines = built(name)
    extras = ",".join(re.findall(r"\.whl\)\[([^]]+)\]", lines)).split(",")
    assert set(extras) >= NEEDED[name] | {"$EXTRAS"}
    for argument in {*re.findall(r"\$([A-Z_]+)", lines)}:
        assert f"ARG {argument}\n" in lines  # a stage sees an argument that it names alone
        assert f"\nARG {argument}=" in CONTAINERFILE
    assert "useradd --uid 1000" in lines
    assert lines.count("USER 0") < lines.count("USER 1000:1000")


@pytest.mark.parametrize("name", ["train", "serve"])
def test_llama_cpp_finds_its_library_in_the_image(name: str) -> None:
    extension = Path(find_spec("xllamacpp").submodule_search_locations[0]) / "xllamacpp.abi3.so"
    assert b"libgomp.so.1" in extension.read_bytes()  # once it is not, the images need it no more
    assert "install --yes --no-install-recommends libgomp1" in built(name)


def test_the_constraints_name_versions_that_an_index_has() -> None:
    found = [line for line in Path("constraints.txt").read_text().splitlines() if "==" in line]
    assert [line for line in found if "+" in line] == []  # 2.13.0+cpu is on PyTorch's own alone
    assert any(line.startswith("torch==") for line in found)


def test_what_the_images_copy_and_name_is_there() -> None:
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    assert sources
    for source in " ".join(sources).split():
        assert Path(source).exists()
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    lists = r"\.whl\)\[([^]]+)\]|^ARG (?:EXTRAS|TRAIN)=(.+)$"
    pairs = re.findall(lists, CONTAINERFILE, re.MULTILINE)
    named = {one for pair in pairs for one in "".join(pair).split(",")}
    assert {one for one in named if not one.startswith("$")} <= set(extras)


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
