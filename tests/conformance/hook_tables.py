"""What the hooks in the kernel have given, by the tables that they share with their daemon."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint32, create_string_buffer
from pathlib import Path
from typing import Final

from moorage.kernel.bpf.libbpf import call, library
from moorage.kernel.bpf.objects import KernelMap
from moorage.lab import control

_ARRAY: Final = 2
"""BPF_MAP_TYPE_ARRAY"""
_INFO: Final = struct.Struct("=6I16s")
"""The beginning of ``struct bpf_map_info``."""
_ID: Final = re.compile(rb"^map_type:\t%d\n(?:.*\n)*?map_id:\t(\d+)$" % _ARRAY, re.MULTILINE)
_NUMBER: Final = struct.Struct("=I44x")
_MOMENT: Final = struct.Struct("=Q")


def offer(path: Path, service: int) -> int:
    """The number of what the daemon at ``path`` offers of a type; 0: there is no offer."""
    return _entry(path, "offers", service, _NUMBER)


def taken(path: Path, service: int) -> int:
    """When a socket last took what was offered of a type, in ns of CLOCK_BOOTTIME."""
    return _entry(path, "taken", service, _MOMENT)


def _entry(path: Path, table: str, service: int, layout: struct.Struct) -> int:
    with _table(path, table, layout.size) as found:
        value = found.lookup(struct.pack("=I", service))
    assert value is not None
    [number] = layout.unpack(value)
    assert isinstance(number, int)
    return number


@contextmanager
def _table(path: Path, name: str, size: int) -> Iterator[KernelMap]:
    """The table of this name whose descriptor the daemon has."""
    for number in _arrays(_process(path)):
        descriptor: int = call(library().bpf_map_get_fd_by_id, number)
        try:
            if _name(descriptor) == name:
                yield KernelMap(descriptor, 4, size)
                return
        finally:
            os.close(descriptor)
    raise AssertionError(f"the daemon has no hooks in the kernel: no table {name!r}")


def _process(path: Path) -> int:
    """Who listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(path))
        return control.peer(sock)[0]


def _arrays(process: int) -> Iterator[int]:
    for path in Path(f"/proc/{process}/fdinfo").iterdir():
        try:
            found = _ID.search(path.read_bytes())
        except FileNotFoundError:  # it was closed meanwhile
            continue
        if found:
            yield int(found[1])


def _name(descriptor: int) -> str:
    info = create_string_buffer(_INFO.size)
    call(library().bpf_obj_get_info_by_fd, descriptor, info, byref(c_uint32(_INFO.size)))
    *_, name = _INFO.unpack(info.raw)
    return str(name.rstrip(b"\0"), "ascii")
