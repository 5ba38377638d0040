"""The option format: code, length, body (RFC 8415 section 21.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, Self, TypeVar

from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

_HEADER: Final = Layout("DHCPv6 option", "HH")
_T = TypeVar("_T")


class Option(Protocol):
    """Anything that can stand in the options field of a message or of another option."""

    @property
    def option_code(self) -> int:
        """The option-code of IANA's registry."""

    def encode(self) -> bytes:
        """Return the option's body, without code and length.

        Raises:
            ValueError: a field's value does not fit the format.
        """


class KnownOption(Protocol):
    """An option whose body we understand; its code belongs to the class."""

    option_code: ClassVar[int]

    def encode(self) -> bytes:
        """Return the body; see `Option.encode`."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the option with the body ``data``.

        Raises:
            WireError: the body breaks the format.
        """


Decoders = Mapping[int, Callable[[bytes], Option]]
"""The options that are understood in one place, by code.

RFC 8415 appendix C says which option may appear where. One that is out of place is kept as an
`UnknownOption`, which also bounds how deep options nest.
"""


def decoders(*kinds: type[KnownOption]) -> Decoders:
    """Return the table of the options ``kinds``."""
    return {kind.option_code: kind.decode for kind in kinds}


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option that we do not understand where it stands; kept byte for byte."""

    option_code: int
    data: bytes

    def encode(self) -> bytes:
        """Return the body as it came."""
        return self.data


class OptionHolder:
    """Look-ups for whatever has an options field."""

    __slots__ = ()

    options: tuple[Option, ...]

    def first(self, kind: type[_T]) -> _T | None:
        """Return the first option of class ``kind``, if there is one."""
        for option in self.options:
            if isinstance(option, kind):
                return option
        return None

    def every(self, kind: type[_T]) -> tuple[_T, ...]:
        """Return all options of class ``kind`` in their order."""
        return tuple([option for option in self.options if isinstance(option, kind)])


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Cut ``data`` into (code, body) pairs.

    Raises:
        WireError: a header is cut short, or announces more bytes than there are.
    """
    pairs: list[tuple[int, bytes]] = []
    offset = 0
    end = len(data)
    while offset < end:
        start = offset + 4
        if start > end:
            raise WireError(_HEADER.where, f"{end - offset} bytes instead of {_HEADER.size}")
        # Taken apart by hand: every message goes through here several times.
        code = data[offset] << 8 | data[offset + 1]
        length = data[offset + 2] << 8 | data[offset + 3]
        offset = start + length
        if offset > end:
            raise WireError(_HEADER.where, f"{code} has {end - start} of {length} bytes")
        pairs.append((code, data[start:offset]))
    return pairs


def join(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the options field of (code, body) pairs.

    Raises:
        ValueError: a code or the length of a body does not fit 16 bits.
    """
    parts: list[bytes] = []
    for code, body in pairs:
        parts.append(_HEADER.pack(code, len(body)))
        parts.append(body)
    return b"".join(parts)


def decode_options(data: bytes, known: Decoders) -> tuple[Option, ...]:
    """Decode the options field ``data``, in which the options ``known`` have a place.

    Raises:
        WireError: an option breaks the format.
    """
    options: list[Option] = []
    for code, body in split(data):
        decode = known.get(code)
        options.append(UnknownOption(code, body) if decode is None else decode(body))
    return tuple(options)


def encode_options(options: Iterable[Option]) -> bytes:
    """Return the options field of ``options``.

    Raises:
        ValueError: a value does not fit its field.
    """
    return join([(option.option_code, option.encode()) for option in options])
