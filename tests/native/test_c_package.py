"""The Python package takes the C parts along where they can be compiled, and does without else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.native.workshop import NATIVE

pytestmark = pytest.mark.interop

ROOT = NATIVE.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a wheel is built from, with a C part more than usual."""
    clone = tmp_path / "clone"
    shutil.copytree(NATIVE, clone / "native", ignore=shutil.ignore_patterns("build"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "scripts/hatch_build.py"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    (clone / "src" / "moorage").mkdir(parents=True)
    (clone / "src" / "moorage" / "__init__.py").touch()
    (clone / "native" / "sample.bpf.c").write_text(
        "int sample(void);\nint sample(void)\n{ return 1; }\n"
    )
    return clone


def wheel(clone: Path, **settings: str) -> tuple[str, set[str]]:
    """The platform and the C parts of the wheel that is built."""
    target = clone / "dist"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        cwd=clone,
        env={**os.environ, **settings},
        capture_output=True,
        check=True,
    )
    [made] = target.iterdir()
    with zipfile.ZipFile(made) as archive:
        names = {Path(name) for name in archive.namelist()}
    assert Path("moorage/__init__.py") in names
    platform = made.stem.rpartition("-")[2].partition("_")[0]
    return platform, {name.name for name in names if name.parent.name == "_native"}


def test_with_compilers(clone: Path) -> None:
    platform, parts = wheel(clone)
    assert platform == "linux"
    assert "sample.bpf.o" in parts


def test_without_a_compiler_for_hooks(clone: Path) -> None:
    _, parts = wheel(clone, CLANG="none")
    assert not any(name.endswith(".bpf.o") for name in parts)


def test_without_any_compiler(clone: Path) -> None:
    assert wheel(clone, CLANG="none", CC="none") == ("any", set())


def test_without_make(clone: Path) -> None:
    assert wheel(clone, PATH="/nowhere") == ("any", set())


def test_with_a_part_that_cannot_be_compiled(clone: Path) -> None:
    (clone / "native" / "sample.bpf.c").write_text("#error\n")
    _, parts = wheel(clone)
    assert "sample.bpf.o" not in parts
