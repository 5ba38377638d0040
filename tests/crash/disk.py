"""What a disk holds after a power cut.

strace records what a program writes and when it asks for it to be on the disk. From such a record
`Disk` makes, for any moment, the files that may be there afterwards: all that was synced, and
anything or nothing of the rest, in parts and in any order.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

_CALLS: Final = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink"
_SECTOR: Final = 512
_MEMORY: Final = b"-shm"
"""End of the name of SQLite's index of its journal: a mapped file that is made anew."""

_CALL: Final = re.compile(
    r"(?P<thread>\d+) +"
    r"(?:(?P<name>\w+)\((?P<begin>.*?)|<\.\.\. (?P<again>\w+) resumed>(?P<end>.*?))"
    r"(?: <unfinished \.\.\.>|\) += (?P<result>-?\d+).*)"
)
_TEXT: Final = re.compile(r'(?:\\x[0-9a-f]{2})+|(?<=")(?=")')


@dataclass(frozen=True)
class Call:
    """One system call, as it begins (``result`` is None) or ends."""

    thread: int
    name: str
    arguments: str
    result: int | None

    @property
    def texts(self) -> list[bytes]:
        """The texts among its arguments, names of descriptors among them."""
        found = _TEXT.findall(self.arguments)
        return [bytes.fromhex(text.replace("\\x", "")) for text in found]

    @property
    def descriptor(self) -> int:
        """The descriptor that it is about."""
        return int(self.arguments.partition("<")[0])

    @property
    def numbers(self) -> list[int]:
        """The plain numbers among its arguments."""
        return [int(word) for word in self.arguments.split(", ") if word.isdecimal()]


def record(command: Sequence[str], log: Path, *options: str) -> bytes:
    """Run a program under strace until it kills itself, and return what it said."""
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "65536", "-o", str(log)]
    done = subprocess.run(
        [*strace, "-e", f"trace={_CALLS}", *options, *command], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode in (-9, 137), done
    return done.stdout


def calls(log: Path) -> Iterator[Call]:
    """Read a record: every call twice, as it begins and as it ends, in order of time."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        match = _CALL.fullmatch(line)
        if match is None:
            continue  # a thread has come or gone
        thread, name = match["thread"], match["name"] or match["again"]
        arguments = begun.pop(thread, "") + (match["begin"] or match["end"] or "")
        if match["name"]:
            yield Call(int(thread), name, arguments, None)
        if match["result"] is None:
            begun[thread] = arguments
        else:
            yield Call(int(thread), name, arguments, int(match["result"]))


@dataclass(frozen=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray, random: Random) -> None:
        """Do it, or of its sectors those in front."""
        data = self.data
        if random.random() < 0.2:
            data = data[: random.randrange(0, len(data) + 1, _SECTOR)]
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(data)] = data


@dataclass(frozen=True)
class _Truncate:
    size: int

    def apply(self, content: bytearray, random: Random) -> None:
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


class _Whole(Random):
    """Chance that leaves nothing out."""

    def random(self) -> float:
        return 1.0


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Truncate] = field(default_factory=list)

    def sync(self, count: int) -> None:
        for change in self.pending[:count]:
            change.apply(self.durable, _Whole())
        del self.pending[:count]

    def after(self, share: float, random: Random) -> bytes:
        content = bytearray(self.durable)
        for change in self.pending:
            if random.random() < share:
                change.apply(content, random)
        return bytes(content)


@dataclass
class _Folder:
    """Names: they, too, are on the disk only when the folder was synced."""

    durable: dict[str, _File] = field(default_factory=dict)
    pending: list[tuple[str, _File | None]] = field(default_factory=list)

    def now(self, count: int) -> dict[str, _File]:
        names = dict(self.durable)
        for name, file in self.pending[:count]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        return names

    def sync(self, count: int) -> None:
        self.durable = self.now(count)
        del self.pending[:count]


class Disk:
    """The files of one folder as a program's calls make them, and what of them is safe."""

    def __init__(self, folder: Path, before: Mapping[str, bytes] | None = None) -> None:
        """Begin with the files that were there ``before``, all of them safe."""
        self._path = bytes(folder)
        self._folder = _Folder(
            {name: _File(bytearray(data)) for name, data in (before or {}).items()}
        )
        self._syncs: dict[int, int] = {}
        self.syncs = 0

    def take(self, call: Call) -> None:
        """Follow a call."""
        match call:
            case Call(name="fsync" | "fdatasync") if target := self._of(call.texts[0]):
                if call.result is None:
                    self._syncs[call.thread] = len(target.pending)
                elif call.result == 0:
                    target.sync(self._syncs.pop(call.thread))
                    self.syncs += 1
            case Call(result=None | -1):
                pass
            case Call(name="openat") if "O_CREAT" in call.arguments:
                self._open(call.texts[-1])
            case Call(name="unlink"):
                self._folder.pending.append((self._name(call.texts[0]), None))
            case Call(name="pwrite64", result=int(count)) if target := self._of(call.texts[0]):
                assert isinstance(target, _File)
                target.pending.append(_Write(call.numbers[-1], call.texts[1][:count]))
            case Call(name="ftruncate") if target := self._of(call.texts[0]):
                assert isinstance(target, _File)
                target.pending.append(_Truncate(call.numbers[-1]))

    def _name(self, path: bytes) -> str:
        folder, _, name = path.rpartition(b"/")
        return name.decode() if folder == self._path and not name.endswith(_MEMORY) else ""

    def _of(self, path: bytes) -> _File | _Folder | None:
        """Return what a path is, if it is ours."""
        if path == self._path:
            return self._folder
        return self._names().get(self._name(path))

    def _names(self) -> dict[str, _File]:
        return self._folder.now(len(self._folder.pending))

    def _open(self, path: bytes) -> None:
        name = self._name(path)
        if name and name not in self._names():
            self._folder.pending.append((name, _File()))

    def files(self) -> dict[str, bytes]:
        """Return what the program sees: all that it wrote."""
        return {name: file.after(2.0, _Whole()) for name, file in self._names().items()}

    def after_power_cut(self, share: float, random: Random) -> dict[str, bytes]:
        """Return what may be there after a power cut, with a share of what was not synced."""
        names = self._folder.now(sum(random.random() < share for _ in self._folder.pending))
        return {name: file.after(share, random) for name, file in names.items()}


def read(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Make a folder with files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
