"""Reads YAML that people write, and refuses a key that is given twice."""

from collections.abc import Hashable
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """A SafeLoader for which a repeated key is an error: the first would be lost without a word.

    Raises:
        yaml.YAMLError: naming the key and its line.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Makes a mapping, its keys checked."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(text: str | bytes) -> Any:
    """Reads a text.

    Raises:
        yaml.YAMLError: if it is no YAML, or a key is given twice.
    """
    return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
