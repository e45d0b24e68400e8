"""What the doctor knows of a setting: its value, where it was written, and whether it may vary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Location:
    """A line of a file. The path is relative to the checked directory, with slashes."""

    path: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Unknown:
    """The data of a value that cannot be evaluated without running the project."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown)

    __hash__ = None  # type: ignore[assignment]


class Table(dict[str, "Value"]):
    """A dictionary of the project. An open one may have more keys than those that are known."""

    def __init__(self, items: Mapping[str, Value] | None = None, *, open: bool = False) -> None:
        super().__init__(items or {})
        self.open = open


@dataclass(frozen=True)
class Value:
    """One value, or several alternatives that depend on what the doctor cannot know."""

    data: Any
    where: Location | None = None
    varies: bool = False  # a default, which the environment may replace
    variable: str = ""  # the environment variable that replaces it
    text: str = ""  # the expression, if it is unknown
    alternatives: tuple[Value, ...] = field(default=())

    @property
    def known(self) -> bool:
        """Return True if the value, or its default, is known and there is only one."""
        return not self.alternatives and not isinstance(self.data, Unknown)

    @property
    def certain(self) -> bool:
        """Return True if the value is known and nothing outside the source replaces it."""
        return self.known and not self.varies

    def options(self) -> Iterator[Value]:
        """Yield each known alternative, or the value itself if it is known."""
        for value in self.alternatives or (self,):
            if value.known:
                yield value

    @property
    def doubtful(self) -> bool:
        """Return True if the value, or one of its alternatives, is unknown."""
        return any(not value.known for value in self.alternatives or (self,))

    def tables(self) -> Iterator[Table]:
        """Yield the dictionaries among the alternatives."""
        for value in self.options():
            if isinstance(value.data, Table):
                yield value.data

    def integer(self) -> int | None:
        """Return the value as a whole number, or None if it is unknown or no number."""
        try:
            return int(self.data) if self.known and self.data is not None else None
        except (TypeError, ValueError):
            return None

    def string(self) -> str:
        """Return the value if it is a known string, else an empty string."""
        return self.data if self.known and isinstance(self.data, str) else ""

    def at(self, where: Location | None) -> Value:
        """Return this value as written at `where`, if it has no location of its own."""
        return self if self.where or where is None else replace(self, where=where)

    def __str__(self) -> str:
        if self.alternatives:
            return " or ".join(str(value) for value in self.alternatives)
        if not self.known:
            return f"`{self.text}`"
        changes = f" (default of the environment variable {self.variable})" if self.variable else ""
        return f"{self.data!r}{changes or (' (may vary)' if self.varies else '')}"


def unknown(text: str, where: Location | None = None, variable: str = "") -> Value:
    """Return a value that is not understood; `text` is its expression."""
    return Value(Unknown(), where, varies=True, variable=variable, text=" ".join(text.split()))


MANY = 8  # alternatives beyond this number are not followed


def either(first: Value, second: Value) -> Value:
    """Return a value that is one of two, depending on what the doctor cannot know."""
    found: list[Value] = []
    for value in (*(first.alternatives or (first,)), *(second.alternatives or (second,))):
        if value not in found:
            found.append(value)
    if len(found) == 1:
        return found[0]
    if len(found) > MANY:
        return unknown("too many alternatives", first.where)
    return Value(Unknown(), first.where, varies=True, alternatives=tuple(found))


class Problem(Exception):
    """The user asked for something that cannot be done; the message is one line."""
