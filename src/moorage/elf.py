"""What an executable file says of itself (ELF): for which machine, static or not, made by whom."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_MAGIC: Final = b"\x7fELF"
_IDENT_LENGTH: Final = 16
_CLASS, _ORDER = 4, 5
_WIDE: Final = 2
_LITTLE: Final = 1
_INTERPRETER: Final = 3
_NOTE: Final = 4

# type, machine, version, entry, place of the segments, of the sections, flags, size of this, size
# and number of the segments
_HEADER: Final = {1: "HHIIIIIHHH", 2: "HHIQQQIHHH"}
_SEGMENT: Final = {1: "IIIIIIII", 2: "IIQQQQQQ"}
_NOTE_HEAD: Final = "III"


@dataclass(frozen=True, slots=True)
class Executable:
    """A program or a library.

    Attributes:
        machine: word size, byte order and processor, as numbers of ELF.
        dynamic: whether a dynamic linker loads it, and libraries with it.
        authors: the names in its notes, such as ``GNU`` and ``Go``.
    """

    machine: tuple[int, int, int]
    dynamic: bool
    authors: frozenset[str]


def read(path: Path) -> Executable | None:
    """Return what a file says, or none if it is no such file, or a broken one.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        ident = file.read(_IDENT_LENGTH)
        if not ident.startswith(_MAGIC) or len(ident) < _IDENT_LENGTH:
            return None
        word, order = ident[_CLASS], ident[_ORDER]
        if word not in _HEADER:
            return None
        try:
            return _read(file, word, order)
        except struct.error:
            return None


def _read(file: BinaryIO, word: int, order: int) -> Executable:
    prefix = "<" if order == _LITTLE else ">"
    header = struct.Struct(prefix + _HEADER[word])
    segment = struct.Struct(prefix + _SEGMENT[word])
    _, machine, _, _, place, _, _, _, size, count = header.unpack(file.read(header.size))
    file.seek(place)
    table = file.read(size * count)
    dynamic, authors = False, set[str]()
    for start in range(0, size * count, size):
        kind, *fields = segment.unpack_from(table, start)
        offset, length = (fields[1], fields[4]) if word == _WIDE else (fields[0], fields[3])
        dynamic |= kind == _INTERPRETER
        if kind == _NOTE:
            file.seek(offset)
            authors |= set(_authors(file.read(length), prefix))
    return Executable((word, order, machine), dynamic, frozenset(authors))


def _authors(notes: bytes, prefix: str) -> Iterator[str]:
    head = struct.Struct(prefix + _NOTE_HEAD)
    place = 0
    while place + head.size <= len(notes):
        name, description, _ = head.unpack_from(notes, place)
        place += head.size
        yield notes[place : place + name].rstrip(b"\0").decode(errors="replace")
        place += -(-name // 4) * 4 + -(-description // 4) * 4
