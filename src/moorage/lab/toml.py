"""TOML text of plain data: the standard library only reads it."""

from __future__ import annotations

import json
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

import msgspec

_PLAIN: Final = (IPv6Address, IPv6Network, Path)


def _text(value: object) -> str:
    if isinstance(value, _PLAIN):
        return str(value)
    raise TypeError(f"no word for {type(value).__name__} in TOML")


def toml(data: object) -> str:
    """The TOML text of nested mappings or structs; keys without a value (None) are left out.

    Raises:
        TypeError: a value is of a type that TOML does not know.
    """
    plain = msgspec.to_builtins(data, enc_hook=_text)
    return "".join(
        f"{_value(key)} = {_value(value)}\n" for key, value in plain.items() if value is not None
    )


def _value(value: object) -> str:
    match value:
        case dict():
            pairs = (f"{_value(k)} = {_value(v)}" for k, v in value.items() if v is not None)
            return f"{{ {', '.join(pairs)} }}"
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            # Text, numbers and truth are written as in JSON; TOML forbids one more character.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
