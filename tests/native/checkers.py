"""What watches a program of C while it runs, and stops it or spoils its exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_SPOILED = 99


@dataclass(frozen=True, slots=True, eq=False)
class Checker:
    """A way to build a program and to run it.

    Attributes:
        flags: of the compiler.
        prefix: of the command line.
        settings: of the environment.
        follows_unwinding: whether it knows what becomes of the stack of a thread that is cancelled.
            AddressSanitizer takes what is left on it for memory in use.
    """

    name: str
    compiler: str = "gcc"
    flags: str = "-O2 -g -Werror"
    prefix: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    follows_unwinding: bool = True

    def __str__(self) -> str:
        return self.name


CHECKERS = (
    Checker(
        "valgrind",
        prefix=(
            "valgrind",
            "--quiet",
            f"--error-exitcode={_SPOILED}",
            "--leak-check=full",
            "--errors-for-leak-kinds=all",
        ),
    ),
    *(
        Checker(
            f"{compiler}-asan-ubsan",
            compiler,
            "-O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all",
            settings={"ASAN_OPTIONS": "detect_leaks=1"},
            follows_unwinding=False,
        )
        for compiler in ("gcc", "clang")
    ),
    Checker(
        "tsan", flags="-O1 -g -Werror -fsanitize=thread", prefix=("setarch", "--addr-no-randomize")
    ),
)
