"""What the benchmarks end with: figures beside their goals, as a table and as one JSON line."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NoReturn

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured number beside what is promised."""

    name: str
    value: float
    unit: str
    goal: str = ""
    ok: bool = True


def at_most(name: str, value: float, unit: str, goal: float) -> Figure:
    """Gives a figure that may not be higher than its goal."""
    return Figure(name, round(value, 3), unit, f"≤ {goal:g} {unit}", value <= goal)


def at_least(name: str, value: float, unit: str, goal: float) -> Figure:
    """Gives a figure that may not be lower than its goal."""
    return Figure(name, round(value, 3), unit, f"≥ {goal:g} {unit}", value >= goal)


def conclude(figures: Sequence[Figure]) -> NoReturn:
    """Prints the table and, as the last line, the JSON object; exits with 1 if a goal is missed."""
    table = Table("figure", "value", "goal", "", box=None)
    for figure in figures:
        value = f"{figure.value:,.3g} {figure.unit}"
        table.add_row(figure.name, value, figure.goal, "" if figure.ok else "missed")
    Console(highlight=False).print(table)
    ok = all(figure.ok for figure in figures)
    print(json.dumps({"figures": [asdict(figure) for figure in figures], "ok": ok}))
    raise SystemExit(0 if ok else 1)
