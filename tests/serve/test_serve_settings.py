"""What the server can be told, and where it says that it listens."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.serve.run import _announce
from wherry.serve.settings import ServeSettings


@pytest.mark.parametrize("name", ["", "-slm", "a b", "a/b", "a\n", "é", "a" * 64])
def test_a_name_that_no_url_takes_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="name must match"):
        read_settings(ServeSettings, {"name": name})


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080")],
)
def test_the_address_that_is_told_can_be_opened(
    host: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _announce(ServeSettings("slm", host=host))
    assert capsys.readouterr().err == f"serving slm at {url}\n"
