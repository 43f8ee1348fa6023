"""Converters by name: what a plugin names, and the converter itself once it is asked for."""

from __future__ import annotations

import importlib
from collections import abc
from typing import TYPE_CHECKING

from latentkit.errors import RegistryError, nearest
from latentkit.registry.catalogue import Entry, is_target

if TYPE_CHECKING:
    from latentkit.interfaces import Converter


def read_converters(plugin: str, answer: abc.Mapping[str, object]) -> dict[str, Entry]:
    """What the hook ``latentkit_converters`` answered, as entries by the bare name that users give.

    Raises:
        RegistryError: a value is no converter.
    """
    entries = {bare: Entry(f"{plugin}.{bare}", "converter", target) for bare, target in answer.items()}
    for entry in entries.values():
        if not is_target(entry.target):
            made(entry)  # says what is wrong with it
    return entries


def find_converter(name: str, known: abc.Mapping[str, Entry]) -> Entry:
    """The entry of a converter.

    Raises:
        RegistryError: there is none of this name; lists those that there are.
    """
    if name not in known:
        fact = f"no converter is called '{name}'" if name else "a converter's name is needed"
        listed = "\n".join(f"  {other}  {known[other].summary()}".rstrip() for other in sorted(known))
        hint = nearest(name, known)
        raise RegistryError(f"{fact}{'; ' if hint else ''}{hint}\nconverters that are installed:\n{listed or '  none'}")
    return known[name]


def made(entry: Entry) -> Converter:
    """The converter of an entry; imports it where it is named as ``"module:attribute"``.

    Raises:
        RegistryError: it is no converter, or has options without a default.
        BaseException: whatever its module raises.
    """
    from latentkit.interfaces import Converter

    target = entry.target
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, type) and issubclass(target, Converter):
        try:
            target = target()
        except TypeError as error:
            raise RegistryError(f"'{entry.name}' cannot be made without options: {error}") from error
    if not isinstance(target, Converter):
        raise RegistryError(f"'{entry.name}' is not a converter: expected a class derived from lk.Converter")
    return target
