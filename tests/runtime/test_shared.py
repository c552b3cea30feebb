"""Servers and buckets are handed on to a cluster's tasks; folders of this machine are not."""

import pytest

from wherry.contracts.errors import SettingsError
from wherry.runtime.shared import bucket_places, shared_places


def test_servers_and_buckets_are_handed_on() -> None:
    given = {
        "WHERRY_STORE": "postgresql://wherry@db/wherry",
        "WHERRY_ARTIFACTS": "gs://bucket/models",
        "WHERRY_CHECKPOINTS": "s3://elsewhere/log, gs://second/log",
        "WHERRY_MIRRORS": "mlflow:https://mlflow.example vertex:project/europe-west4",
    }
    assert shared_places({**given, "WHERRY_KEYS": "/home/ana/keys", "HOME": "/home/ana"}) == given


def test_folders_of_this_machine_are_not() -> None:
    given = {
        "WHERRY_STORE": "sqlite:////home/ana/ledger.db",
        "WHERRY_ARTIFACTS": "file:///home/ana/artifacts",
        "WHERRY_CHECKPOINTS": "s3://elsewhere/log, /home/ana/log",
        "WHERRY_MIRRORS": "mlflow:sqlite:////home/ana/mlflow.db",
    }
    assert shared_places(given) == {}


@pytest.mark.parametrize(
    "address",
    ["postgresql://wherry:hunter2@db/wherry", "postgres://wherry@db/wherry?password=hunter2"],
)
def test_a_password_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError, match="WHERRY_STORE holds a password") as refused:
        shared_places({"WHERRY_STORE": address})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "mlflow:https://a:hunter2@b",
        "kubeflow:http://a:hunter2@b",
        "mlflow:https://hunter2token@b/c.mlflow",
        "mlflow:https://b/?token=hunter2",
        "mlflow:https://b/?password=hunter2",
    ],
)
def test_nor_is_that_of_a_mirror(address: str) -> None:
    with pytest.raises(SettingsError, match="WHERRY_MIRRORS holds a password or token") as refused:
        shared_places({"WHERRY_MIRRORS": f"vertex:p/l {address}"})
    assert "hunter2" not in str(refused.value)


def test_an_address_that_is_none_is_no_secret() -> None:
    given = {"WHERRY_STORE": "postgresql://[::1/db", "WHERRY_MIRRORS": "mlflow:http://[::1"}
    assert shared_places(given) == given


def test_on_vertex_folders_of_buckets_are_handed_on() -> None:
    given = {"WHERRY_KEYS": "/gcs/bucket/keys", "WHERRY_ROLES": "/gcs/bucket/roles.yaml"}
    assert bucket_places({**given, "WHERRY_RETENTION": "/home/ana/retention.yaml"}) == given
    assert "WHERRY_KEYS" not in shared_places(given)
