"""Bad settings are refused by name, value and range."""

import json
from pathlib import Path
from typing import Any

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.deploy.adapters.local.servers import Servers
from wherry.deploy.settings import DeploySettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "moon"}, "target must be one of local, got 'moon'"),
        ({"target": "kserve"}, "does not deploy to 'kserve' yet, only to local"),
        ({"name": "our/triage"}, "name must match .*, got 'our/triage'"),
        ({"name": "triage\n"}, "name must match .*, got 'triage"),
        ({"host": ""}, "host must be an address such as 127.0.0.1, got ''"),
        ({"port": 0}, r"port must be in \[1, 65535\], got 0"),
        ({"port": "8080"}, "Expected `int`"),
        ({"smoke_rows": 2}, r"smoke_min_correct must be in \[1, 2\], got 3"),
        ({"smoke_min_correct": 0}, "smoke_min_correct"),
        ({"start_timeout": 0}, "start_timeout"),
        ({"ports": 1}, "unknown field 'ports'"),
    ],
)
def test_a_bad_setting_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(DeploySettings, json.dumps(values))


@pytest.mark.parametrize("name", ["", "../triage", "triage\n", ".triage"])
def test_a_deployments_records_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must match"):
        Servers(name, tmp_path)
