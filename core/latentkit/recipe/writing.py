"""Writing plain tables and values as TOML."""

from __future__ import annotations

import json
import re
from collections import abc
from datetime import date, time

MAX_DIGITS = 64
"""A whole number of TOML has that many binary digits."""
_BARE = re.compile(r"^[A-Za-z0-9_-]+$")


def to_toml(tables: abc.Mapping[str, object]) -> str:
    """Tables as TOML text that reads back equal. Innermost small tables are written inline."""
    lines: list[str] = []
    _table(tables, (), lines)
    return "\n".join(lines).strip() + "\n"


def brief(value: object, most: int = 60) -> str:
    """A value as a recipe writes it, cut after ``most`` characters: for messages."""
    if isinstance(value, str) and len(value) > most:
        return _value(f"{value[:most]}...")
    text = _value(value)
    return text if len(text) <= most or isinstance(value, str) else f"{text[:most]}..."


def _table(table: abc.Mapping[str, object], path: tuple[str, ...], lines: list[str]) -> None:
    deep = {key: value for key, value in table.items() if isinstance(value, dict) and _opens(value, path)}
    if path and (len(deep) < len(table) or not table):
        lines += ["", f"[{'.'.join(written_key(name) for name in path)}]"]
    lines += [f"{written_key(key)} = {_value(value)}" for key, value in table.items() if key not in deep]
    for key, value in deep.items():
        _table(value, (*path, key), lines)


def _opens(value: abc.Mapping[str, object], path: tuple[str, ...]) -> bool:
    nested = any(isinstance(inner, dict) for inner in value.values())
    return len(path) == 0 or (nested and len(path) < 2)


def written_key(name: str) -> str:
    """A key as TOML has it: in quotes where it needs them."""
    return name if _BARE.match(name) else json.dumps(name)


def _value(value: object) -> str:
    if value == {}:
        return "{ }"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{written_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS:
        return f"a number of {int(value.bit_length() * 0.30103) + 1} digits"  # Python refuses to write very long ones
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, str):
        # JSON escapes are TOML escapes, except that DEL must be escaped in TOML and need not be in JSON.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
