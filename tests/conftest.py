"""Options and fixtures that all tests share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one flag that rewrites golden files."""
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden files")
