"""Files that people write: checked against a `msgspec.Struct`, one clear line for a mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from moorage.accounts import GroupId, UserId
from moorage.service import ServiceType

T = TypeVar("T")


class ConfigError(Exception):
    """A file cannot be used; the text names the file, the key and what is allowed."""


def _decode_hook(kind: type[Any], value: object) -> object:
    """Build the types that TOML does not know from the text that stands for them."""
    parse: Callable[[str], object]
    if kind is IPv6Address:
        parse = IPv6Address
    elif kind is IPv6Network:
        parse = IPv6Network
    elif kind is ServiceType:
        parse = ServiceType.from_slug
    elif kind is UserId:
        parse = UserId.parse
    elif kind is GroupId:
        parse = GroupId.parse
    elif kind is Path:
        parse = Path
    elif kind is bytes:
        parse = bytes.fromhex
    else:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {type(value).__name__}")
    return parse(value)


def parse(text: str, kind: type[T], name: str) -> T:
    """Return the ``kind`` that ``text`` (TOML) describes; ``name`` stands for it in errors.

    Raises:
        ConfigError: the text is no TOML, or as `convert` does.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from None
    return convert(data, kind, name)


def convert(data: object, kind: type[T], name: str) -> T:
    """Return the ``kind`` that decoded TOML or JSON describes; ``name`` stands for it in errors.

    Addresses, prefixes, paths, service types (by slug), users and groups (by name or number) and
    ``bytes`` (hexadecimal) are written as text.

    Raises:
        ConfigError: a key is unknown, missing or has a wrong value.
    """
    try:
        return msgspec.convert(data, kind, dec_hook=_decode_hook)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `")
        key = where.rstrip("`").removeprefix("$").removeprefix(".")
        allowed = _allowed(inspect.type_info(kind), key)
        raise ConfigError(f"{name}: {key or 'top level'}: {what}{allowed}") from None


def load(path: Path, kind: type[T]) -> T:
    """Return the ``kind`` that the TOML file at ``path`` describes.

    Raises:
        ConfigError: the file cannot be read, or as `parse` does.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    return parse(text, kind, str(path))


def changed(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    """Return the keys whose values differ between two configurations of one kind."""
    return [
        name
        for name, attribute in zip(
            after.__struct_encode_fields__, after.__struct_fields__, strict=True
        )
        if getattr(before, attribute) != getattr(after, attribute)
    ]


def _allowed(kind: inspect.Type, key: str) -> str:
    """Return what may stand at ``key`` of a ``kind``, where it is one of a few words."""
    for step in re.findall(r"\[[^]]*\]|[^.\[\]]+", key):
        match _without_none(kind):
            case inspect.StructType(fields=fields):
                found = [field.type for field in fields if field.encode_name == step]
            case inspect.ListType(item_type=item) | inspect.DictType(value_type=item):
                found = [item]
            case _:
                found = []
        if not found:
            return ""
        [kind] = found
    match _without_none(kind):
        case inspect.StructType(fields=fields):
            words = [field.encode_name for field in fields]
        case inspect.EnumType(cls=enum):
            words = [str(member.value) for member in enum]
        case _:
            return ""
    return f"; allowed: {', '.join(words)}"


def _without_none(kind: inspect.Type) -> inspect.Type:
    """Return the type that an optional one is about, beneath its constraints."""
    if isinstance(kind, inspect.Metadata):
        return _without_none(kind.type)
    if isinstance(kind, inspect.UnionType):
        return next(t for t in kind.types if not isinstance(t, inspect.NoneType))
    return kind
