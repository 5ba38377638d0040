"""The library as it is built and installed: compilers, symbols, files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from moorage import numbers
from moorage.service import ServiceType
from tests.native.workshop import NATIVE, build_library, make, run

pytestmark = pytest.mark.interop

EXAMPLE = NATIVE / "examples" / "client.c"
DOCS = NATIVE.parent / "docs"
ERRORS = NATIVE / "ask_daemon.c"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]


def exported() -> set[str]:
    """The names in the version script."""
    _, _, names = (NATIVE / "libsetsc.map").read_text().partition("global:")
    return set(re.findall(r"(\w+);", names.partition("local:")[0]))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_library_has_no_warnings(compiler: str, tmp_path: Path) -> None:
    build_library(tmp_path, compiler, " ".join(["-O2", *STRICT]))


@pytest.mark.parametrize(
    ("compiler", "standard"),
    [
        *[(compiler, f"c{year}") for compiler in ("gcc", "clang") for year in (99, 11, 17)],
        *[(compiler, f"c++{year}") for compiler in ("g++", "clang++") for year in (11, 20)],
    ],
)
def test_the_header_has_no_warnings(compiler: str, standard: str, tmp_path: Path) -> None:
    """Alone, with all that is optional switched off, and used."""
    language = "c++" if "++" in standard else "c"
    source = tmp_path / f"user.{language}"
    source.write_text(
        """\
#include <setsc.h>
#include <setsc.h>
int use(int s, struct in6_addr *address);
int use(int s, struct in6_addr *address)
{
    struct moorage_options options = {1, 0, 0};
    if (moorage_setsc(s, address, FIXED_IPV6_ADDRESS, &options) == EAI_REQUIREDIPFAILED)
        return setsc(s, address, IPV6_REQUIRE_SESSION_LASTING_IP);
    return *setsc_strerror(IPV6_ADDR_PREFERENCES);
}
"""
    )
    run(compiler, f"-std={standard}", *STRICT, f"-I{NATIVE}", "-fsyntax-only", source)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_a_cpp_program_links(compiler: str, built: Path, tmp_path: Path) -> None:
    source = tmp_path / "user.cpp"
    source.write_text("#include <setsc.h>\nint main() { return !setsc_strerror(0); }\n")
    run(compiler, f"-I{NATIVE}", "-o", tmp_path / "user", source, f"-L{built}", "-lsetsc")


def test_the_shared_library_shows_what_its_version_script_says(built: Path) -> None:
    listed = run(
        "nm", "--dynamic", "--defined-only", "--extern-only", "--with-symbol-versions",
        built / "libsetsc.so",
    )  # fmt: skip
    symbols = {line.split()[-1] for line in listed.splitlines() if " A " not in line}
    assert symbols == {f"{name}@@LIBSETSC_1.0" for name in exported()}
    dynamic = run("readelf", "--dynamic", built / "libsetsc.so")
    assert re.findall(r"SONAME.*\[(.*)\]", dynamic) == ["libsetsc.so.1"]
    assert re.findall(r"NEEDED.*\[(.*)\]", dynamic) == ["libc.so.6"]


def test_the_static_library_takes_no_other_names(built: Path) -> None:
    listed = run("nm", "--defined-only", "--extern-only", built / "libsetsc.a")
    symbols = {line.split()[-1] for line in listed.splitlines() if len(line.split()) == 3}
    assert exported() < symbols
    assert all(name.startswith(("setsc", "moorage_setsc")) for name in symbols)


def test_the_numbers_are_those_of_the_python_package(tmp_path: Path) -> None:
    types = {f"{member.name}_IPV6_ADDRESS": member.value for member in ServiceType}
    others = {f"IPV6_REQUIRE_{member.name}_IP": member.value for member in ServiceType}
    codes = {
        name: getattr(numbers, name)
        for name in (
            "EAI_REQUIREDIPNOTSUPPORTED",
            "EAI_REQUIREDIPFAILED",
            "IPV6_ADDR_PREFERENCES",
            "IPV6_REQUIRE_SRC_ON_NET",
        )
    }
    source = tmp_path / "numbers.c"
    source.write_text(
        "#include <setsc.h>\n"
        + "".join(
            f'_Static_assert({name} == {number}, "{name}");\n'
            for name, number in {**types, **others, **codes}.items()
        )
    )
    run("gcc", "-std=c11", f"-I{NATIVE}", "-fsyntax-only", source)


def test_installing(tmp_path: Path) -> None:
    """What is installed is enough to build with pkg-config; uninstalling leaves no file."""
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    make(build, "install", f"PREFIX={prefix}")
    settings = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libsetsc"],
        env=settings, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    run("gcc", "-o", tmp_path / "client", EXAMPLE, *flags)
    needed = run("readelf", "--dynamic", tmp_path / "client")
    assert "libsetsc.so.1" in needed
    run("gcc", "-static", "-o", tmp_path / "static", EXAMPLE, *flags)
    assert (prefix / "share" / "man" / "man3" / "setsc.3").is_file()
    make(build, "uninstall", f"PREFIX={prefix}")
    assert [path for path in prefix.rglob("*") if not path.is_dir()] == []


def test_installing_elsewhere(tmp_path: Path) -> None:
    make(tmp_path / "build", "install", "PREFIX=/usr", f"DESTDIR={tmp_path / 'root'}")
    text = (tmp_path / "root" / "usr" / "lib" / "pkgconfig" / "libsetsc.pc").read_text()
    assert "libdir=/usr/lib\n" in text


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_example_has_no_warnings(compiler: str, tmp_path: Path) -> None:
    options = ["-std=c11", *STRICT, f"-I{NATIVE}"]
    run(compiler, *options, "-c", "-o", tmp_path / "client.o", EXAMPLE)


def test_the_manual_page_is_in_order() -> None:
    page = NATIVE / "setsc.3"
    assert run("groff", "-man", "-ww", "-z", page) == ""
    text = page.read_text()
    assert all(f"{name} ()" in text for name in exported())


def test_the_reference_names_everything() -> None:
    reference = (DOCS / "reference" / "c-api.md").read_text()
    header = (NATIVE / "setsc.h").read_text()
    defined = set(re.findall(r"#define (\w+) ", header)) | set(
        re.findall(r"(\w+_ADDRESS) =", header)
    )
    for name in exported() | defined | set(re.findall(r"\bE[A-Z]{3,}\b", ERRORS.read_text())):
        assert re.search(rf"\b{name}\b", reference), name


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_programs_of_the_how_to_have_no_warnings(compiler: str, tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "c-programs.md").read_text()
    programs = re.findall(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert programs
    for program in programs:
        (tmp_path / "program.c").write_text(program)
        run(compiler, *STRICT, f"-I{NATIVE}", "-fsyntax-only", tmp_path / "program.c")
