"""Renders a page with Jinja2: every value escaped, a missing name an error."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from wherry.contracts.errors import ExtraMissingError
from wherry.page.words import short, visible

if TYPE_CHECKING:
    from jinja2 import Environment


def render(package: str, template: str, **values: object) -> str:
    """Gives a page as one self-contained HTML text.

    Args:
        package: whose ``templates`` folder holds the page's own template; it may extend and
            include those of this package.
        template: its name in that folder.
        values: the names that the template has.

    Raises:
        ExtraMissingError: if Jinja2 is not installed.

    Example::

        render("wherry.report", "page.html", page=compose(evidence, ReportSettings()))
    """
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> "Environment":
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"Showing a page needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[report]"',
        ) from error
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, "templates"), PackageLoader("wherry.page", "templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    return environment


def _shown(value: Any) -> Any:
    # What is markup already came out of a macro, and its values went through here there.
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value) if is_text else value


def _pixels(value: float) -> str:
    """Gives a coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


_FILTERS: Final[Mapping[str, Any]] = {"short": short, "px": _pixels}
