"""Values as JSON knows them: the words of the command line for enumerations, text for addresses."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec


def plain(value: object) -> Any:
    """Return ``value`` made of what JSON has.

    A member of an enumeration of numbers is its name, such as ``session-lasting``. A tagged struct
    has its tag among its keys. What JSON has no word for is its text, bytes are hexadecimal.
    """
    match value:
        case None | bool() | float():
            return value
        case Enum():
            return value.value if isinstance(value, str) else value.name.lower().replace("_", "-")
        case int() | str():
            return value
        case bytes():
            return value.hex()
        case msgspec.Struct():
            fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
            config = value.__struct_config__
            return {config.tag_field: config.tag, **fields} if config.tag_field else fields
        case dict():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return str(value)
