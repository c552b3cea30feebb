"""What the server can be told, and where it says that it listens."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.serve.run import _announce, _extra
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


def test_what_is_not_installed_is_named_with_what_brings_it() -> None:
    with pytest.raises(ExtraMissingError, match="the package 'kserve'"), _extra():
        raise ModuleNotFoundError("No module named 'kserve'", name="kserve")
    with (
        pytest.raises(ExtraMissingError, match=r"libgomp\.so\.1: cannot open") as lacking,
        _extra(),
    ):
        raise ImportError("libgomp.so.1: cannot open shared object file")
    assert "libgomp1" in lacking.value.remedy
