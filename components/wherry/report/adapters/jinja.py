"""Renders the page with Jinja2: every value escaped, a missing name an error."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from wherry.report.step import Page
from wherry.report.words import short


def render(page: Page) -> str:
    """Gives the page as one self-contained HTML text, from the templates beside this package.

    Example::

        render(compose(evidence, ReportSettings())).startswith("<!doctype html>")
    """
    return _environment().get_template("page.html").render(page=page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wherry.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _pixels(value: float) -> str:
    """Gives a coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


_FILTERS: Mapping[str, Any] = {"short": short, "px": _pixels}
