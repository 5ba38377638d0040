"""The preload library is built without a word by both compilers, and shows its four calls alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.workshop import NATIVE, WERROR, build_library, run

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_both_compilers(tmp_path: Path, compiler: str) -> None:
    static = build_library(tmp_path, compiler)
    library = tmp_path / "preload.so"
    options = ["-std=c11", "-Wall", "-Wextra", *WERROR.split(), "-fPIC", "-fvisibility=hidden"]
    linking = ["-pthread", "-shared", "-Wl,-z,defs", "-Wl,--exclude-libs,ALL"]
    run(compiler, *options, *linking, "-o", library, NATIVE / "preload.c", static)
    shown = run("nm", "--dynamic", "--defined-only", library).split("\n")
    names = {line.split()[-1] for line in shown if line}
    assert names == {"connect", "sendto", "sendmsg", "sendmmsg"}
