"""The texts of a batch of rows, taken apart in one walk and put together by Polars."""

from collections.abc import Sequence
from functools import cached_property

import polars as pl

from wherry.contracts import Message, Row
from wherry.text.normal import normalise_series


class Texts:
    """Views of the same rows; what is not asked for is not made.

    Args:
        rows: one batch.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        walk = _Walk()
        for row in rows:
            walk.take(row.messages, row.text)
        self.roles = pl.Series(walk.roles, dtype=pl.String)
        """Such as ``system user assistant``; null for plain text."""
        self.system = _series(walk.systems)
        """The system's turn: the team's own, and mostly the same in every row."""
        self.question = _series(walk.questions)
        """All turns but the system's and the last, or the plain text.

        A system turn is the team's own: another one does not make another question.
        """
        self.completion = _series(walk.completions)
        """The last turn, or the plain text: what the model should give."""
        self.joints = pl.Series(walk.joints, dtype=pl.Int32)
        """Line ends that join turns in `system` and `question`."""

    @cached_property
    def plain(self) -> pl.Series:
        """Where the row is plain text, which has no question."""
        return self.roles.is_null()

    @cached_property
    def said(self) -> pl.Series:
        """Every turn but the system's, the worse answer and the plain text."""
        said = self.question + "\n" + self.completion
        if any(row.rejected for row in self.rows):
            said = said + "\n" + self.rejected
        return said.zip_with(~self.plain, self.completion)

    @cached_property
    def user(self) -> pl.Series:
        """The user's turns, or the plain text: what comes from outside."""
        # Anywhere else the question holds answers too, or a user's turn is the last.
        others = (~self.roles.str.contains("^(?:system )?user assistant$")).fill_null(False)
        texts = [_turns(self.rows[number], "user") for number in others.arg_true()]
        # A scatter changes the series that it is asked of.
        return self.question.clone().scatter(others.arg_true(), texts) if texts else self.question

    @cached_property
    def answers(self) -> pl.Series:
        """The assistant's turns and the worse answer."""
        return _series([_turns(row, "assistant") + f"\n{row.rejected}" for row in self.rows])

    @cached_property
    def context(self) -> pl.Series:
        """All turns but the last: what the model is given."""
        return _series(["\n".join([m.content for m in row.messages[:-1]]) for row in self.rows])

    @cached_property
    def rejected(self) -> pl.Series:
        """The worse answer."""
        return _series([row.rejected for row in self.rows])

    @cached_property
    def label(self) -> pl.Series:
        """The class, or null."""
        return pl.Series([row.label or None for row in self.rows], dtype=pl.String)

    @cached_property
    def asked(self) -> pl.Series:
        """The question, normalised."""
        return normalise_series(self.question)

    @cached_property
    def answered(self) -> pl.Series:
        """The completion, normalised."""
        return normalise_series(self.completion)


def _series(texts: Sequence[str]) -> pl.Series:
    return pl.Series("text", texts, dtype=pl.String)


class _Walk:
    """Lists of what rows hold; plain appends, for this runs on every row."""

    def __init__(self) -> None:
        self.roles: list[str | None] = []
        self.systems: list[str] = []
        self.questions: list[str] = []
        self.completions: list[str] = []
        self.joints: list[int] = []

    def take(self, turns: tuple[Message, ...], text: str) -> None:
        """Takes one row apart."""
        # Nearly all rows have one of two forms; the general way costs four times as much.
        if len(turns) == 3 and turns[0].role == "system" and turns[1].role == "user":
            self._add(f"system user {turns[2].role}", turns[0].content, turns[1].content, turns)
        elif len(turns) == 2 and turns[0].role == "user":
            self._add(f"user {turns[1].role}", "", turns[0].content, turns)
        elif turns:
            systems = [turn.content for turn in turns[:-1] if turn.role == "system"]
            others = [turn.content for turn in turns[:-1] if turn.role != "system"]
            roles = " ".join([turn.role for turn in turns])
            joints = max(0, len(systems) - 1) + max(0, len(others) - 1)
            self._add(roles, "\n".join(systems), "\n".join(others), turns, joints)
        else:
            self._add(None, "", text, (Message("user", text),))

    def _add(
        self,
        roles: str | None,
        system: str,
        question: str,
        turns: tuple[Message, ...],
        joints: int = 0,
    ) -> None:
        self.roles.append(roles)
        self.systems.append(system)
        self.questions.append(question)
        self.completions.append(turns[-1].content)
        self.joints.append(joints)


def _turns(row: Row, role: str) -> str:
    return "\n".join([turn.content for turn in row.messages if turn.role == role])
