"""The library that asks for addresses in the place of programs, and which programs load it."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from moorage import elf
from moorage.service import ServiceType

SERVICE: Final = "MOORAGE_SERVICE"
"""The environment variable that tells the library the type, by its number."""

_LIST: Final = "LD_PRELOAD"
_SHEBANG: Final = b"#!"
_SHEBANGS: Final = 5
"""An interpreter may be a script in turn; the kernel follows so many ..."""
_LINE: Final = 256
"""... and reads so many bytes of each."""


class OutOfReach(Exception):
    """The library cannot speak for a program; the text says why."""


def environment(command: str, service: ServiceType) -> dict[str, str]:
    """Return what to add to the environment of a command so that it has addresses of a type.

    Raises:
        OutOfReach: it would not load the library, or there is none.
    """
    library = Path(str(files("moorage") / "_native" / "preload.so"))
    if not library.exists():
        raise OutOfReach("there is no preload library: the package was built without a C compiler")
    path = shutil.which(command)
    if path is not None:  # whoever runs it finds out what is wrong with it
        with suppress(OSError):
            _check(command, Path(path), library)
    present = os.environ.get(_LIST)
    return {
        _LIST: f"{present}:{library}" if present else str(library),
        SERVICE: str(int(service)),
    }


def _check(command: str, path: Path, library: Path) -> None:
    """Check that a program, or that of a script, loads the library.

    Raises:
        OutOfReach: it does not.
        OSError: that cannot be found out.
    """
    for _ in range(_SHEBANGS):
        interpreter = _interpreter(path)
        if interpreter is None:
            break
        path = interpreter
    if privilege := _privilege(path):
        raise OutOfReach(f"{command} {privilege}: it loads no library of its user's choice")
    program, ours = elf.read(path), elf.read(library)
    if program is None:
        return
    if not program.dynamic:
        raise OutOfReach(f"{command} is a static program: it loads no libraries")
    if "Go" in program.authors:
        raise OutOfReach(f"{command} is a Go program: it calls the kernel without the C library")
    if ours is not None and program.machine != ours.machine:
        raise OutOfReach(f"{command} is for another kind of machine than the preload library")


def _interpreter(path: Path) -> Path | None:
    """Return the program that a script is for."""
    with path.open("rb") as file:
        line = file.read(_LINE).split(b"\n")[0]
    words = line.removeprefix(_SHEBANG).split()
    return Path(os.fsdecode(words[0])) if line.startswith(_SHEBANG) and words else None


def _privilege(path: Path) -> str:
    """Return what gives a program more rights than its user has, or an empty text."""
    found = path.stat()
    if found.st_mode & stat.S_ISUID and found.st_uid != os.geteuid():
        return "is set-uid"
    if found.st_mode & stat.S_ISGID and found.st_gid != os.getegid():
        return "is set-gid"
    with suppress(OSError):
        if os.geteuid() != 0 and os.getxattr(path, "security.capability"):
            return "has capabilities of its own"
    return ""
