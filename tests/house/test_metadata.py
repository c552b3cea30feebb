"""Each room passes the official catalogue's rules for `metadata.yaml` and `OWNERS`.

The rules are those of kubeflow/pipelines-components' validate_metadata.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

ROOMS = sorted(path.parent for path in Path("components/wherry").glob("*/component.py"))
REQUIRED = ("name", "stability", "dependencies", "lastVerified")
OPTIONAL = ("tags", "ci", "links")
ids = [room.name for room in ROOMS]


def read(room: Path) -> dict:
    return yaml.safe_load((room / "metadata.yaml").read_text())


def test_every_room_of_the_pipeline_is_there() -> None:
    assert {"ingest", "validate", "base", "tune", "evaluate", "quantize"} <= set(ids)
    assert {"gate", "release", "deploy", "report"} <= set(ids)


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_fields_are_known_and_in_order(room: Path) -> None:
    fields = list(read(room))
    assert tuple(fields[: len(REQUIRED)]) == REQUIRED
    assert set(fields) <= {*REQUIRED, *OPTIONAL}


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_name_and_stability_are_of_the_catalogue(room: Path) -> None:
    data = read(room)
    assert isinstance(data["name"], str)
    assert data["name"]
    assert data["stability"] in ("experimental", "alpha", "beta", "stable")


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_dependencies_name_kubeflow_pipelines_with_a_version(room: Path) -> None:
    dependencies = read(room)["dependencies"]
    assert set(dependencies) <= {"kubeflow", "external_services"}
    assert {"name": "Pipelines", "version": ">=2.17.0"} in dependencies["kubeflow"]
    for service in dependencies.get("external_services", []):
        assert set(service) <= {"name", "version"}
        assert all(isinstance(value, str) and value for value in service.values())


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_it_was_verified_within_a_year(room: Path) -> None:
    verified = read(room)["lastVerified"]
    assert isinstance(verified, datetime)
    verified = verified if verified.tzinfo else verified.replace(tzinfo=UTC)
    assert verified - timedelta(days=1) <= datetime.now(UTC) < verified + timedelta(days=365)


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_it_has_an_approver_and_a_readme_with_the_four_headings(room: Path) -> None:
    owners = yaml.safe_load((room / "OWNERS").read_text())
    assert owners["approvers"]
    text = (room / "README.md").read_text()
    found = [line[3:].strip() for line in text.splitlines() if line.startswith("## ")]
    assert found == ["Takes", "Gives", "Can fail with", "Run it alone"]
