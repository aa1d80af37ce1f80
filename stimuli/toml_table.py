"""A table of a TOML file that collects what is wrong with it, one line a key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from stimuli.records import is_number


class Table:
    """One table: its values are taken key by key, and `finish` names the keys that nobody took.

    A problem never raises: it is noted in `problems`, shared by all tables of a file, and a usable default
    is returned, so that one run tells everything that needs repair.
    """

    def __init__(self, file: Path, values: Mapping[str, object], where: str, problems: list[str]) -> None:
        self.file = file
        self.where = where
        self.problems = problems
        self._values = values
        self._taken: list[str] = []

    def problem(self, key: str, reason: str) -> None:
        """Note one line: file, key, what is wrong."""
        self.problems.append(f"{self.file}: {self.name_of(key)} {reason}")

    def name_of(self, key: str) -> str:
        """The whole way to a key, as `codecs[1].name`."""
        return f"{self.where}.{key}" if self.where and key else self.where or key

    def has(self, key: str) -> bool:
        """Whether the key is written, right or wrong."""
        return key in self._values

    def take(self, key: str) -> object:
        """The raw value, or None; the key counts as known."""
        self._taken.append(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Text that is not blank; without a default the key must be there."""
        value = self.take(key)
        if value is None:
            if default is None:
                self.problem(key, "is missing; it must be text")
            return default or ""
        if not isinstance(value, str) or not value.strip():
            self.problem(key, "must not be empty" if value == "" else f"must be text, got {value!r}")
            return default or ""
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, got {value!r}")
            return default
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(key, f"must be a whole number from {low} to {high}, got {value!r}")
            return default
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A finite number above `low` and up to `high`."""
        value = self.take(key)
        if value is None:
            return default
        if not is_number(value) or not low < float(value) <= high:  # type: ignore[arg-type]
            self.problem(key, f"must be a number above {low:g} and up to {high:g}, got {value!r}")
            return default
        return float(value)  # type: ignore[arg-type]

    def items(self, key: str) -> list[object] | None:
        """A list, or None when the key is absent or no list."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not value:
            self.problem(key, f"must be a list with at least one item, got {value!r}")
            return None
        return value

    def table(self, key: str) -> Table:
        """A table under this one; empty when the key is absent."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            self.problem(key, f"must be a table, got {value!r}")
        values = value if isinstance(value, dict) else {}
        return Table(self.file, values, self.name_of(key), self.problems)

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of an array of tables, or the one table written in its place."""
        value = self.take(key)
        if isinstance(value, dict):
            yield Table(self.file, value, self.name_of(key), self.problems)
            return
        if value is not None and (not isinstance(value, list) or not value):
            self.problem(key, f"must be a table or a list of tables, got {value!r}")
        for i, item in enumerate(value if isinstance(value, list) else []):
            if isinstance(item, dict):
                yield Table(self.file, item, f"{self.name_of(key)}[{i}]", self.problems)
            else:
                self.problems.append(f"{self.file}: {self.name_of(key)}[{i}] must be a table, got {item!r}")

    def rest(self) -> dict[str, object]:
        """Every key that nobody took yet; they count as known from now on."""
        rest = {key: value for key, value in self._values.items() if key not in self._taken}
        self._taken.extend(rest)
        return rest

    def finish(self) -> None:
        """Note every key that nobody took."""
        for key in self._values:
            if key in self._taken:
                continue
            close = difflib.get_close_matches(key, self._taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(self._taken)}"
            self.problem(key, f"is not a known key; {hint}")
