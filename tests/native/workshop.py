"""Building the C parts, and calling them."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from moorage.errors import from_status
from moorage.wire.app import Reason

NATIVE = Path(__file__).parents[2] / "native"
HERE = Path(__file__).parent
WERROR = "-O2 -g -Werror"


def run(*argv: str | Path, cwd: Path = HERE) -> str:
    """What a command prints; it must not fail, nor complain."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def make(folder: Path, *arguments: str) -> None:
    """Run make for native/, whose results come into ``folder``."""
    run("make", "--silent", "-C", NATIVE, f"BUILD={folder}", *arguments)


def build_library(folder: Path, compiler: str = "gcc", flags: str = WERROR) -> Path:
    """Build the library and return its static form; the shared one is beside it."""
    static = folder / "libsetsc.a"
    # A sanitizer's own symbols are in programs, not in shared libraries.
    wanted = [str(static)] if "-fsanitize" in flags else []
    make(folder, f"CC={compiler}", f"CFLAGS={flags}", *wanted)
    return static


def build_program(
    source: Path, folder: Path, compiler: str = "gcc", flags: str = WERROR, *extra: str
) -> Path:
    """Build a program with the static library."""
    library = build_library(folder, compiler, flags)
    program = folder / source.stem
    options = ["-std=c11", "-Wall", "-Wextra", *flags.split(), f"-I{NATIVE}", "-pthread", *extra]
    run(compiler, *options, "-o", program, source, library)
    return program


class _Options(ctypes.Structure):
    """``struct moorage_options``."""

    _fields_ = [
        ("on_net", ctypes.c_int),
        ("timeout_ms", ctypes.c_uint),
        ("lifetime", ctypes.c_uint),
    ]


UNTOUCHED = bytes(range(16))
"""What is in the place of the address before a call."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned, left in errno, and put where the address belongs."""

    status: int
    errno: int
    address: bytes


class Library:
    """The calls of ``setsc.h`` in a shared object."""

    def __init__(self, path: Path) -> None:
        self.loaded = ctypes.CDLL(str(path), use_errno=True)
        self.loaded.setsc_strerror.restype = ctypes.c_char_p

    def call(self, descriptor: int, number: int, **options: int) -> Outcome:
        """What a call makes; with options it is ``moorage_setsc``."""
        place = ctypes.create_string_buffer(UNTOUCHED, len(UNTOUCHED))
        ctypes.set_errno(0)
        if options:
            given = _Options(**options)
            status = self.loaded.moorage_setsc(descriptor, place, number, ctypes.byref(given))
        else:
            status = self.loaded.setsc(descriptor, place, number)
        return Outcome(status, ctypes.get_errno(), place.raw)

    def setsc(self, sock: socket.socket, number: int, **options: int) -> IPv6Address:
        """The address that a call gives.

        Raises:
            SetscError: it gives none.
        """
        outcome = self.call(sock.fileno(), number, **options)
        if outcome.status != 0:
            assert outcome.address == UNTOUCHED
            raise from_status(outcome.status, Reason.NONE) from OSError(
                outcome.errno, os.strerror(outcome.errno)
            )
        return IPv6Address(outcome.address)

    def strerror(self, status: int) -> str:
        """What ``setsc_strerror`` says."""
        text = self.loaded.setsc_strerror(status)
        assert isinstance(text, bytes)
        return text.decode()
