"""A recipe's file to tables. Whatever is in it, the answer is a table or a message with its line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from latentkit._memory import in_units
from latentkit.errors import Problem, RecipeError
from latentkit.recipe.merging import Tree

MAX_BYTES = 100_000
"""More than any recipe has, and little enough to read within a second, whatever is in it."""
MAX_DEPTH = 32
_DEEP_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")
"""A dotted key as long as no recipe has; tomllib takes time in the square of its length."""
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_CLOSED = (
    "an inline table { ... } is closed: write its further keys inside the braces, or use a [table] header "
    "instead of the braces"
)
_HINTS = {
    "Cannot overwrite": "a key or table stands once; keep one of the two",
    "Cannot declare": _CLOSED,
    "Cannot mutate": _CLOSED,
    "immutable": _CLOSED,
    "Expected '=' after a key": "a line is 'key = value', '[table]' or '# a comment'",
    "Invalid statement": "a line is 'key = value', '[table]' or '# a comment'",
    "Invalid value": "text stands in quotes, lists in [ ], tables in { }; numbers, true and false stand alone",
}


def read_text(path: Path, label: str) -> str:
    """The text of a file, with ``\\n`` at the end of each line.

    Raises:
        RecipeError: it cannot be read, is too large, or is no text in UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            fact = f"{in_units(path.stat().st_size)} are no recipe; at most {in_units(MAX_BYTES)} are read"
            raise RecipeError([Problem(label, fact, "a recipe has some kB; is this another file?")])
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise RecipeError([Problem(label, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise RecipeError([_not_text(data, error, label)]) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_text(data: bytes, error: UnicodeDecodeError, label: str) -> Problem:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem(label, "not a text file in UTF-8, but in UTF-16", "save it as UTF-8")
    line = data.count(b"\n", 0, error.start) + 1
    fact = f"not a text file in UTF-8: found the byte 0x{data[error.start]:02x}"
    return Problem(f"{label}, line {line}", fact, "a recipe is TOML; if it is one, save it as UTF-8")


def parse(text: str, label: str) -> Tree:
    """The tables of a text.

    Raises:
        RecipeError: it is not TOML, or nested too deeply.
    """
    if _DEEP_KEY.search(text):
        raise RecipeError([too_deep(label)])
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([_not_toml(label, text, str(error))]) from None
    except RecursionError:
        raise RecipeError([too_deep(label)]) from None
    except ValueError:  # of Python, whose whole numbers have at most some thousand digits when they are read
        line = next((i for i, line in enumerate(text.split("\n"), 1) if re.search(r"\d[\d_]{4000}", line)), 0)
        where = f"{label}, line {line}" if line else label
        raise RecipeError([Problem(where, "found a number of thousands of digits; expected at most 19")]) from None
    check_depth(tables, label)
    return tables


def check_depth(tables: Tree, label: str) -> None:
    """Refuse tables that are nested deeper than any recipe.

    Raises:
        RecipeError: they are.
    """
    if _depth(tables) > MAX_DEPTH:
        raise RecipeError([too_deep(label)])


def too_deep(label: str) -> Problem:
    """The problem of tables in tables in tables."""
    return Problem(label, f"tables or lists are nested more than {MAX_DEPTH} deep", "a recipe needs about 5")


def _not_toml(label: str, text: str, message: str) -> Problem:
    lines = text.split("\n")
    place = _PLACE.search(message)
    number = int(place[1]) if place and place[1] else len(lines)
    column = int(place[2]) if place and place[2] else 0
    fact = message[: place.start()] if place else message
    line = "".join(char for char in lines[number - 1] if char.isprintable()).strip() if number <= len(lines) else ""
    found = f", in: {line[:70]}" if line else ""
    ended = not column or lines[number - 1][column - 1 :].strip() == ""
    again = line.startswith("[") and sum(other.strip() == line for other in lines) > 1
    hint = "a table stands once, with all its keys under its header" if again else _hint(fact, line, ended)
    return Problem(f"{label}, line {number}", f"not valid TOML: {fact}{found}", hint)


def _hint(fact: str, line: str, ended: bool) -> str:
    if "Illegal character '\\n'" in fact or "Unterminated string" in fact:
        return "a text in quotes ends on its line; is a quote missing?"
    if ended and line.count("{") > line.count("}"):
        return "an inline table { ... } stands on one line; a longer one has a [table] header"
    if ended and line.endswith("="):
        return "a value is missing after '='"
    if "Unclosed array" in fact:
        return "a ']' is missing"
    return next((hint for start, hint in _HINTS.items() if start in fact), "see https://toml.io for the form of TOML")


def _depth(value: object, level: int = 0) -> int:
    if level > MAX_DEPTH:
        return level
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    deeper = (_depth(item, level + 1) for item in inner if isinstance(item, dict | list))
    return max(deeper, default=level + bool(inner))
