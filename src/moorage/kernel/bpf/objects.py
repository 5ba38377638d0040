"""BPF objects as the package brings them: their programs as links, their maps, their rings."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from moorage.kernel.bpf import cgroup
from moorage.kernel.bpf.errors import Unavailable
from moorage.kernel.bpf.libbpf import SAMPLE, call, library

CONSTANTS: Final = ".rodata"
"""The map of an object's constants, which are set before it is loaded."""
_OBJECTS: Final = Path(__file__).parents[2] / "_native"


class Map(Protocol):
    """A table that programs in the kernel share with us; keys and values as C has them."""

    def update(self, key: bytes, value: bytes) -> None:
        """Put a value at a key, in the place of what is there. Raises OSError if it is full."""

    def lookup(self, key: bytes) -> bytes | None:
        """Return the value at a key."""

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is there; what changes meanwhile may or may not be among it."""


class Ring(Protocol):
    """A queue of records from programs in the kernel."""

    def fileno(self) -> int:
        """Readable when a program wanted to wake its reader."""

    def drain(self) -> list[bytes]:
        """Take out what is there."""


class Object(Protocol):
    """Programs that run in the kernel until they are closed or this process ends."""

    def map(self, name: str) -> Map:
        """Return the map of this name."""

    def ring(self, name: str) -> Ring:
        """Return the reader of a ring buffer of this name; there must be no second one."""

    def attach(self, program: str) -> None:
        """Let a program run, unless it does. Raises OSError if the kernel refuses."""

    def detach(self, program: str) -> None:
        """Let a program run no more."""

    def close(self) -> None:
        """Take the programs out of the kernel."""


class KernelMap:
    """The kernel's `Map`; ``descriptor`` lets other objects share it."""

    def __init__(self, descriptor: int, key_size: int, value_size: int) -> None:
        self.descriptor = descriptor
        self._key_size = key_size
        self._value_size = value_size
        self._library = library()

    def update(self, key: bytes, value: bytes) -> None:
        """See `Map.update`."""
        self._check(key, self._key_size)
        self._check(value, self._value_size)
        call(self._library.bpf_map_update_elem, self.descriptor, key, value, 0)

    def lookup(self, key: bytes) -> bytes | None:
        """See `Map.lookup`."""
        self._check(key, self._key_size)
        value = ctypes.create_string_buffer(self._value_size)
        try:
            call(self._library.bpf_map_lookup_elem, self.descriptor, key, value)
        except FileNotFoundError:
            return None
        return value.raw

    def delete(self, key: bytes) -> None:
        """See `Map.delete`."""
        self._check(key, self._key_size)
        with contextlib.suppress(FileNotFoundError):
            call(self._library.bpf_map_delete_elem, self.descriptor, key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """See `Map.items`."""
        for key in list(self._keys()):
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def _keys(self) -> Iterator[bytes]:
        key = None
        following = ctypes.create_string_buffer(self._key_size)
        while True:
            try:
                call(self._library.bpf_map_get_next_key, self.descriptor, key, following)
            except FileNotFoundError:
                return
            key = following.raw
            yield key

    def _check(self, data: bytes, size: int) -> None:
        # What the kernel would read beyond it is not ours to give.
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes where the map has {size}")


class KernelRing:
    """The kernel's `Ring`."""

    def __init__(self, descriptor: int) -> None:
        self._library = library()
        self._records: list[bytes] = []
        self._take = SAMPLE(self._taken)  # as long as the reader
        self._reader = call(self._library.ring_buffer__new, descriptor, self._take, None, None)

    def fileno(self) -> int:
        """See `Ring.fileno`."""
        descriptor: int = self._library.ring_buffer__epoll_fd(self._reader)
        return descriptor

    def drain(self) -> list[bytes]:
        """See `Ring.drain`."""
        call(self._library.ring_buffer__consume, self._reader)
        records, self._records = self._records, []
        return records

    def close(self) -> None:
        """Read no more."""
        self._library.ring_buffer__free(self._reader)

    def _taken(self, _: int | None, record: int, length: int) -> int:
        self._records.append(ctypes.string_at(record, length))
        return 0


class KernelObject:
    """The kernel's `Object`."""

    def __init__(self, handle: int, place: Path) -> None:
        self._library = library()
        self._handle = handle
        self._place = place
        self._programs = {
            os.fsdecode(self._library.bpf_program__name(each)): each
            for each in _each(self._library.bpf_object__next_program, handle)
        }
        self._links: dict[str, int] = {}
        self._maps = _maps(self._library, handle)
        self._rings: list[KernelRing] = []
        self._closed = False

    def map(self, name: str) -> KernelMap:
        """See `Object.map`."""
        found = self._maps[name]
        return KernelMap(
            self._library.bpf_map__fd(found),
            self._library.bpf_map__key_size(found),
            self._library.bpf_map__value_size(found),
        )

    def ring(self, name: str) -> KernelRing:
        """See `Object.ring`."""
        ring = KernelRing(self._library.bpf_map__fd(self._maps[name]))
        self._rings.append(ring)
        return ring

    @property
    def programs(self) -> Collection[str]:
        """The names of its programs."""
        return self._programs.keys()

    def attach(self, program: str) -> None:
        """See `Object.attach`."""
        if program in self._links:
            return
        folder = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            function = self._library.bpf_program__attach_cgroup
            self._links[program] = call(function, self._programs[program], folder)
        finally:
            os.close(folder)

    def detach(self, program: str) -> None:
        """See `Object.detach`."""
        if program in self._links:
            self._library.bpf_link__destroy(self._links.pop(program))

    def close(self) -> None:
        """See `Object.close`."""
        if self._closed:
            return
        self._closed = True
        for program in list(self._links):
            self.detach(program)
        for ring in self._rings:
            ring.close()
        self._library.bpf_object__close(self._handle)


def load(
    name: str,
    *,
    constants: bytes | None = None,
    shared: Mapping[str, KernelMap] | None = None,
    group: Path | None = None,
    later: Collection[str] = (),
) -> KernelObject:
    """Load ``native/NAME.bpf.c`` and attach its programs to a control group.

    The programs run beside those of others, in the order in which they were attached, and go with
    this process however it ends. They see the sockets of every network namespace: which of them
    are theirs is for them to find out, by ``constants`` or a map.

    Args:
        name: of the object.
        constants: what its ``const volatile`` variables are, as they lie in memory.
        shared: maps of other objects, by name, that it uses in the place of its own.
        group: none: that of all processes.
        later: programs that are not attached yet.

    Raises:
        Unavailable: something is missing.
    """
    place = group or cgroup.root()
    loaded = library()
    path = _OBJECTS / f"{name}.bpf.o"
    if not path.exists():
        raise Unavailable(f"{path.name} is not in the package, which was built without clang")
    try:
        handle = call(loaded.bpf_object__open_file, os.fsencode(path), None)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}", error.errno or 0) from None
    try:
        maps = _maps(loaded, handle)
        if constants is not None:
            call(loaded.bpf_map__set_initial_value, maps[CONSTANTS], constants, len(constants))
        for each, map_ in (shared or {}).items():
            call(loaded.bpf_map__reuse_fd, maps[each], map_.descriptor)
        call(loaded.bpf_object__load, handle)
    except OSError as error:
        loaded.bpf_object__close(handle)
        raise _unavailable(path, error) from None
    programs = KernelObject(handle, place)
    try:
        for program in programs.programs:
            if program not in later:
                programs.attach(program)
    except OSError as error:
        programs.close()
        raise _unavailable(path, error) from None
    return programs


def _maps(loaded: ctypes.CDLL, handle: int) -> dict[str, int]:
    found = {
        os.fsdecode(loaded.bpf_map__name(each)): each
        for each in _each(loaded.bpf_object__next_map, handle)
    }
    # The library puts the object's name before that of the constants.
    return {CONSTANTS if name.endswith(CONSTANTS) else name: each for name, each in found.items()}


def _each(following: Any, handle: int) -> Iterator[int]:
    item: int | None = following(handle, None)
    while item:
        yield item
        item = following(handle, item)


def _unavailable(path: Path, error: OSError) -> Unavailable:
    number = error.errno or 0
    if number in (errno.EPERM, errno.EACCES):
        what = "no right to load BPF programs (CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN)"
    else:
        what = f"the kernel does not take {path.name}: {error.strerror}"
    return Unavailable(what, number)
