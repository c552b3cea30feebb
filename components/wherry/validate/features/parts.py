"""Measures one batch of rows: what each shows by itself."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl
from xxhash import xxh3_64_intdigest

from wherry.contracts import Message, Row, fault_of
from wherry.rows.canonical import encoded
from wherry.text.measure import measure, measures
from wherry.text.overlap import Benchmarks
from wherry.text.patterns import PII, SECRETS, Pattern
from wherry.validate.features.columns import CountTokens, Instruments
from wherry.validate.features.texts import Texts

_SECONDS_A_DAY: Final = 86_400
_LONG_ANSWER: Final = 13
"""Words of an answer that is held against benchmarks: a run as `wherry.text.overlap` counts."""


def measured(
    texts: Texts,
    columns: Collection[str],
    instruments: Instruments,
    benchmarks: Benchmarks | None = None,
) -> dict[str, pl.Series]:
    """Gives the columns that rows show by themselves.

    Args:
        texts: of one batch of rows.
        columns: the names that are wanted; those that a row does not show are left out.
        instruments: what to measure with.
        benchmarks: those of the instruments, once read.

    Returns:
        One value a row in each column; texts are present as 64-bit hashes alone.
    """
    plain = {name: make(texts) for name, make in _PLAIN.items() if name in columns}
    return {
        **plain,
        **_tokens(texts, columns, instruments.count_tokens),
        **_ages(texts.rows, columns, instruments.now),
        **_looks(texts, columns, instruments),
        **(_overlaps(texts, benchmarks) if benchmarks else {}),
    }


def hashes(texts: Sequence[str]) -> pl.Series:
    """Gives 64 bits of XXH3 of each text, null where it is blank.

    The same on every machine and in every version, unlike the hashes of Polars and DuckDB:
    https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
    """
    found = np.fromiter(map(xxh3_64_intdigest, map(str.encode, texts)), np.uint64, len(texts))
    series = pl.Series(found.view(np.int64))
    blank = [number for number, text in enumerate(texts) if not text or text.isspace()]
    return series.scatter(blank, None) if blank else series


def _lengths(texts: pl.Series) -> pl.Series:
    return texts.str.len_chars().cast(pl.Int32)


@lru_cache(maxsize=4096)
def _in_order(roles: str) -> bool:
    """Says whether turns alternate and end with the assistant's, after one system turn at most."""
    turns = tuple(Message(role, "") for role in roles.split())  # type: ignore[arg-type] # roles of a Row
    return not fault_of(Row("", turns), "chat")


def _characters_of_prompt(texts: Texts) -> pl.Series:
    asked = _lengths(texts.question) - texts.joints + _lengths(texts.system)
    return asked.set(texts.plain, 0) if texts.plain.any() else asked


def _answered(texts: Texts) -> pl.Series:
    return (texts.completion.str.strip_chars() == texts.label).fill_null(True)


_PLAIN: Final[Mapping[str, Callable[[Texts], pl.Series]]] = {
    "id": lambda texts: hashes([row.id for row in texts.rows]),
    "prompt": lambda texts: hashes(texts.asked.to_list()),
    "completion": lambda texts: hashes(texts.answered.to_list()),
    "group": lambda texts: hashes([row.group.strip() for row in texts.rows]),
    "row": lambda texts: hashes([encoded(row).decode() for row in texts.rows]),
    "label": lambda texts: texts.label,
    "roles": lambda texts: texts.roles,
    "roles_in_order": lambda texts: pl.Series(
        [roles is None or _in_order(roles) for roles in texts.roles], dtype=pl.Boolean
    ),
    "turns": lambda texts: (texts.roles.str.count_matches(" ") + 1).fill_null(0).cast(pl.Int32),
    "characters": lambda texts: (
        _characters_of_prompt(texts) + _lengths(texts.completion) + _lengths(texts.rejected)
    ),
    "prompt_characters": lambda texts: _characters_of_prompt(texts),
    "completion_characters": lambda texts: _lengths(texts.completion),
    "label_answered": lambda texts: _answered(texts),
    "completion_empty": lambda texts: texts.answered == "",
    "rejected_is_completion": lambda texts: pl.Series(
        [
            bool(row.rejected) and row.rejected.strip() == row.completion.strip()
            for row in texts.rows
        ],
        dtype=pl.Boolean,
    ),
}


def _tokens(
    texts: Texts, columns: Collection[str], count: CountTokens | None
) -> dict[str, pl.Series]:
    of = {"prompt_tokens": "context", "completion_tokens": "completion"}
    wanted = of if "tokens" in columns else {name: of[name] for name in of if name in columns}
    if "rejected_tokens" in columns:
        wanted = {**wanted, "rejected_tokens": "rejected"}
    if not wanted or count is None:
        return {}
    counted = {name: _counted(getattr(texts, view), count) for name, view in wanted.items()}
    if "tokens" in columns:
        counted["tokens"] = counted["prompt_tokens"] + counted["completion_tokens"]
    return {name: column for name, column in counted.items() if name in columns}


def _counted(texts: pl.Series, count: CountTokens) -> pl.Series:
    # Answers repeat, labels most of all: each different text is counted once a batch.
    different = texts.unique(maintain_order=True)
    lengths = pl.Series(count(different.to_list()), dtype=pl.Int32)
    return texts.replace_strict(different, lengths, return_dtype=pl.Int32)


def _ages(
    rows: Sequence[Row], columns: Collection[str], now: datetime | None
) -> dict[str, pl.Series]:
    if "age_days" not in columns or now is None:
        return {}
    ages = [_age(row.time, now) for row in rows]
    return {"age_days": pl.Series(ages, dtype=pl.Float64)}


def _age(time: str, now: datetime) -> float | None:
    """Gives days, or None for what is no time with a zone; the suite asks for no nulls."""
    try:
        return (now - datetime.fromisoformat(time)).total_seconds() / _SECONDS_A_DAY
    except (ValueError, TypeError):
        return None


def _overlaps(texts: Texts, benchmarks: Benchmarks) -> dict[str, pl.Series]:
    # A short answer such as "yes" is a whole text of many a benchmark, and means nothing.
    long = texts.completion.str.count_matches(r"\S+") >= _LONG_ANSWER
    answers = benchmarks.named(texts.completion.set(~long, None))
    names = benchmarks.named(texts.question)
    found = names.zip_with(names.is_not_null(), answers)
    return {"benchmark": found, "in_benchmark": found.is_not_null()}


_VIEWS: Final[Mapping[str, tuple[str, str]]] = {
    "language": ("user", "language"),
    "completion_language": ("completion", "language"),
    "repetition": ("completion", "repetition"),
    "control_tokens": ("user", "control_tokens"),
    "control_tokens_in_answers": ("answers", "control_tokens"),
    "injection": ("user", "injection"),
}
"""Which texts a measure looks at, and its name in `wherry.text`; all others look at everything.

Control tokens and injection are told of what users wrote: a system turn is the team's own.
"""


def _looks(
    texts: Texts, columns: Collection[str], instruments: Instruments
) -> dict[str, pl.Series]:
    known = measures(instruments.patterns)
    views: dict[str, dict[str, str]] = {}
    for name in columns:
        view, what = _VIEWS.get(name, ("everything", name))
        if what in known:
            views.setdefault(view, {})[name] = what
    found: dict[str, pl.Series] = {}
    for view, names in views.items():
        if view == "everything":
            found |= _everywhere(texts, list(names), instruments)
        else:
            frame = _measure(getattr(texts, view), list(names.values()), instruments)
            found |= {name: frame[what] for name, what in names.items()}
    return found


def _everywhere(
    texts: Texts, names: Sequence[str], instruments: Instruments
) -> dict[str, pl.Series]:
    """Looks for flaws in what was said, and in the system's turns and labels, each of them once."""
    found = _hinted(texts.said, names, instruments)
    for repeated in (texts.system, texts.label.fill_null("")):
        different = repeated.unique()
        shown = _measure(different, names, instruments)
        for name in names:
            if len(flawed := different.filter(shown[name])):
                found[name] |= repeated.is_in(flawed)
    return found


def _hinted(
    texts: pl.Series, names: Sequence[str], instruments: Instruments
) -> dict[str, pl.Series]:
    """Measures flags, each only where a hint says that it may be set.

    One pass over the texts with all the hints costs less than one with each.
    """
    found: dict[str, pl.Series] = {}
    rows, part = _matching(texts, names, instruments.patterns)
    for some in ([n for n in names if n == _GARBLED], [n for n in names if n != _GARBLED]):
        # What is not English has letters beyond ASCII in each row, and few of them any pattern.
        again, few = _matching(part, some, instruments.patterns)
        frame = _measure(few, some, instruments)
        found |= {name: _at(rows.gather(again), frame[name], len(texts)) for name in some}
    return found


def _matching(
    texts: pl.Series, names: Collection[str], own: Iterable[Pattern]
) -> tuple[pl.Series, pl.Series]:
    """Gives the places and texts at which some flags may be set."""
    known = dict.fromkeys(hint for name in names for hint in _HINTS.get(name, ()))
    # A team's are not joined: two may name a group alike, and an (?x) takes in what follows.
    theirs = [p.hint or p.regex for p in own if p.sort in names or p.column in names]
    found = texts.is_null()
    for regex in filter(None, ("|".join(known), *theirs)):
        found |= texts.str.contains(regex)
    rows = found.arg_true()
    return rows, texts.gather(rows)


def _at(rows: pl.Series, flags: pl.Series, size: int) -> pl.Series:
    return pl.repeat(False, size, eager=True).scatter(rows, flags)


_GARBLED: Final = "garbled"


def _hints() -> dict[str, list[str]]:
    """Gives for each column the expressions of which one matches wherever it is true."""
    # Neither a control character nor a failed decoding is printable ASCII.
    hints = {_GARBLED: [r"[^\t\n\r -~]"]}
    for pattern in (*PII, *SECRETS):
        for name in (pattern.sort, pattern.column):
            hints.setdefault(name, []).append(f"(?:{_nameless(pattern.hint or pattern.regex)})")
    return hints


def _nameless(regex: str) -> str:
    # Expressions are joined to one, in which no two groups may have one name.
    return regex.replace("(?P<value>", "(?:")


_HINTS: Final = _hints()


def _measure(texts: pl.Series, names: Sequence[str], instruments: Instruments) -> pl.DataFrame:
    return measure(
        texts,
        names,
        instruments.patterns,
        tokens=instruments.special_tokens,
        languages=instruments.languages,
    )
