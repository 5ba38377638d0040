"""Which programs load the library that asks for addresses in their place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from moorage import elf, preload
from moorage.service import ServiceType

LASTING = ServiceType.SESSION_LASTING
HEADER = 64
"""Bytes of an ELF header of 64 bits."""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library for this machine, in the place of the package's."""
    folder = tmp_path / "package" / "_native"
    folder.mkdir(parents=True)
    library = folder / "preload.so"
    library.write_bytes(Path(sys.executable).read_bytes()[:HEADER] + bytes(1 << 16))
    monkeypatch.setattr(preload, "files", lambda _: folder.parent)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    return library


def copy(folder: Path, *, at: int = 0, value: bytes = b"") -> Path:
    """A program like Python, with some bytes changed."""
    program = folder / "program"
    data = bytearray(Path(sys.executable).read_bytes())
    data[at : at + len(value)] = value
    program.write_bytes(data)
    program.chmod(0o755)
    return program


def test_a_program_of_this_machine(library: Path) -> None:
    environment = preload.environment(sys.executable, LASTING)
    assert environment == {"LD_PRELOAD": str(library), "MOORAGE_SERVICE": "2"}


def test_what_is_loaded_already_stays(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "a.so b.so")
    environment = preload.environment(sys.executable, LASTING)
    assert environment["LD_PRELOAD"] == f"a.so b.so:{library}"


@pytest.mark.usefixtures("library")
def test_what_is_not_there_is_for_those_who_run_it() -> None:
    assert preload.environment("/nowhere", LASTING)
    assert preload.environment("no-such-program-anywhere", LASTING)


@pytest.mark.parametrize(("mode", "which"), [(0o4755, "set-uid"), (0o2755, "set-gid")])
@pytest.mark.usefixtures("library")
def test_more_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, which: str
) -> None:
    program = copy(tmp_path)
    program.chmod(mode)
    assert preload.environment(str(program), LASTING)  # they are our own rights
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    with pytest.raises(preload.OutOfReach, match=f"{program} is {which}: it loads no library"):
        preload.environment(str(program), LASTING)


@pytest.mark.usefixtures("library")
def test_another_machine(tmp_path: Path) -> None:
    program = copy(tmp_path, at=18, value=b"\x08\x00")  # MIPS
    with pytest.raises(preload.OutOfReach, match="another kind of machine"):
        preload.environment(str(program), LASTING)


@pytest.mark.usefixtures("library")
def test_a_static_program(tmp_path: Path) -> None:
    program = copy(tmp_path, at=56, value=b"\x00\x00")  # no segments
    with pytest.raises(preload.OutOfReach, match="is a static program: it loads no libraries"):
        preload.environment(str(program), LASTING)


@pytest.mark.usefixtures("library")
def test_of_a_script_the_interpreter_counts(tmp_path: Path) -> None:
    program = copy(tmp_path, at=56, value=b"\x00\x00")
    script = tmp_path / "script"
    script.write_text(f"#! {program} -x\n")
    script.chmod(0o755)
    with pytest.raises(preload.OutOfReach, match=f"{script} is a static program"):
        preload.environment(str(script), LASTING)


def test_without_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "files", lambda _: tmp_path)
    with pytest.raises(preload.OutOfReach, match="built without a C compiler"):
        preload.environment(sys.executable, LASTING)


@pytest.mark.parametrize("length", [0, 3, 16, 20, HEADER - 1])
def test_what_is_no_whole_program_is_none(tmp_path: Path, length: int) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path(sys.executable).read_bytes()[:length])
    assert elf.read(program) is None


def test_python_is_dynamic() -> None:
    found = elf.read(Path(sys.executable).resolve())
    assert found is not None
    assert found.dynamic
    assert "GNU" in found.authors
