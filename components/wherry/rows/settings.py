"""How a team's names for the parts of a row map to ours."""

from dataclasses import dataclass, fields
from functools import cached_property

_LONGEST = 200


@dataclass(frozen=True)
class Columns:
    """Where each part of a row stands in a team's files.

    Each is a name, or a dotted path such as ``response.choices.0.message.content`` in which a
    whole number counts the items of a list from 0. Empty stands for the field's own name.

    Example::

        Columns(prompt="question", completion="answer", label="topic")
    """

    messages: str = ""
    """A list of turns: ``role`` and ``content``, or ShareGPT's ``from`` and ``value``."""
    system: str = ""
    """The system turn's text."""
    prompt: str = ""
    """The question: a text, or the list of turns up to it."""
    completion: str = ""
    """The answer: a text, or a list of turns."""
    chosen: str = ""
    """The better answer of a preference: a text, or turns whose last is the answer."""
    rejected: str = ""
    """The worse answer of a preference, in the form of `chosen`."""
    text: str = ""
    """Plain text."""
    id: str = ""
    """The row's name; where there is none, a hash of its content stands in."""
    label: str = ""
    """The class of the answer."""
    group: str = ""
    """What keeps rows in one split."""
    time: str = ""
    """When it was written or asked: RFC 3339, or whole seconds since 1970."""
    model: str = ""
    """Which model answered."""

    def __post_init__(self) -> None:
        """Refuses a path with an empty part or one that nobody means.

        Raises:
            ValueError: naming the field and its value.
        """
        for field in fields(self):
            path = getattr(self, field.name)
            if len(path) > _LONGEST or (path and not all(path.split("."))):
                raise ValueError(
                    f"{field.name} must be a name or a dotted path of at most {_LONGEST} "
                    f"characters, got {path[:_LONGEST]!r}"
                )

    @cached_property
    def paths(self) -> dict[str, str]:
        """The path of each field: the team's, or the field's own name."""
        return {field.name: getattr(self, field.name) or field.name for field in fields(self)}

    @property
    def mapped(self) -> tuple[str, ...]:
        """The paths that the team named."""
        paths = (getattr(self, field.name) for field in fields(self))
        return tuple(path for path in paths if path)

    @property
    def telling(self) -> tuple[str, ...]:
        """Those of the team's paths without which rows are divided or judged otherwise, unseen.

        A row that lacks its question is a fault anyway, and one without a system turn may be meant.
        """
        return tuple(path for path in (self.group, self.label, self.time, self.id) if path)
