"""BPF objects in memory, without a kernel: what a program would do, a test does."""

from __future__ import annotations

from collections.abc import Iterator


class FakeMap:
    """A `Map` that is full with ``room`` keys."""

    def __init__(self, room: int = 1 << 20) -> None:
        self._room = room
        self.values: dict[bytes, bytes] = {}

    def update(self, key: bytes, value: bytes) -> None:
        """See `Map.update`."""
        if key not in self.values and len(self.values) >= self._room:
            raise OSError(7, "Argument list too long")
        self.values[key] = value

    def lookup(self, key: bytes) -> bytes | None:
        """See `Map.lookup`."""
        return self.values.get(key)

    def delete(self, key: bytes) -> None:
        """See `Map.delete`."""
        self.values.pop(key, None)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """See `Map.items`."""
        yield from list(self.values.items())


class FakeRing:
    """A `Ring` with the records that are appended to it."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def fileno(self) -> int:
        """See `Ring.fileno`; there is nothing to wait for."""
        return -1

    def drain(self) -> list[bytes]:
        """See `Ring.drain`."""
        records, self.records = self.records, []
        return records


class FakeObject:
    """An `Object` whose maps and rings come to be when they are asked for."""

    def __init__(self) -> None:
        self.maps: dict[str, FakeMap] = {}
        self.rings: dict[str, FakeRing] = {}
        self.attached: set[str] = set()
        self.closed = False

    def map(self, name: str) -> FakeMap:
        """See `Object.map`."""
        return self.maps.setdefault(name, FakeMap())

    def ring(self, name: str) -> FakeRing:
        """See `Object.ring`."""
        return self.rings.setdefault(name, FakeRing())

    def attach(self, program: str) -> None:
        """See `Object.attach`."""
        self.attached.add(program)

    def detach(self, program: str) -> None:
        """See `Object.detach`."""
        self.attached.discard(program)

    def close(self) -> None:
        """See `Object.close`."""
        self.closed = True
