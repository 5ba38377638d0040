"""Sources that are chosen in control groups, and in groups within them, by the real kernel."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from moorage.kernel.bpf import Unavailable, cgroup
from moorage.kernel.default_source import HookedSource
from moorage.kernel.sock_diag import network_cookie
from moorage.service import ServiceType
from tests.kernel.conftest import KernelWorld

pytestmark = pytest.mark.netns

LASTING = ServiceType.SESSION_LASTING
HERE, THERE = IPv6Address("2001:db8::7"), IPv6Address("2001:db8::8")
DESTINATION = "2001:db8::9"

CALLER = """
import errno, socket, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as group:
    group.write("0")
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
try:
    sock.connect((sys.argv[2], 9))
except OSError as error:
    print(errno.errorcode[error.errno])
print(sock.getsockname()[0])
"""


@pytest.fixture
def groups(kernel: KernelWorld) -> Iterator[tuple[Path, Path]]:
    """A group, and one within it."""
    for address in (str(HERE), str(THERE), DESTINATION):
        kernel.add_address(address, 128)
    outer = cgroup.root() / f"sources-{network_cookie():x}"
    inner = outer / "inner"
    try:
        inner.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"only root of the whole machine makes control groups: {error.strerror}")
    try:
        yield outer, inner
    finally:
        inner.rmdir()
        outer.rmdir()


def hooked(group: Path) -> HookedSource:
    try:
        return HookedSource(group, network_cookie(), LASTING, None)
    except Unavailable as error:
        if error.errno != errno.EPERM:
            raise
        pytest.skip("needs root outside of user namespaces")


def said(group: Path) -> list[str]:
    """What a program in a group says of its connection: an error, if there is one; its source."""
    command = [sys.executable, "-c", CALLER, str(group), DESTINATION]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_what_holds_in_a_group_holds_within_it(groups: tuple[Path, Path]) -> None:
    outer, inner = groups
    with closing(hooked(outer)) as source:
        source.choose(HERE)
        assert said(outer) == said(inner) == [str(HERE)]
        source.choose(THERE)
        assert said(inner) == [str(THERE)]


def test_the_innermost_comes_first_whichever_was_there_before(groups: tuple[Path, Path]) -> None:
    outer, inner = groups
    for first, second in ((outer, inner), (inner, outer)):
        with closing(hooked(first)) as one, closing(hooked(second)) as other:
            one.choose(HERE if first is outer else THERE)
            other.choose(THERE if first is outer else HERE)
            assert said(inner) == [str(THERE)]
            assert said(outer) == [str(HERE)]


def test_what_is_left_to_the_kernel_is_what_the_group_around_chooses(
    groups: tuple[Path, Path],
) -> None:
    outer, inner = groups
    with closing(hooked(outer)) as around, closing(hooked(inner)) as within:
        around.choose(HERE)
        assert said(inner) == [str(HERE)]
        within.choose(THERE)
        within.leave()
        assert said(inner) == [str(HERE)]
        around.leave()
        [legacy] = said(inner)
        assert legacy == DESTINATION


def test_who_was_promised_an_address_gets_none_from_the_group_around(
    groups: tuple[Path, Path],
) -> None:
    outer, inner = groups
    with closing(hooked(outer)) as around, closing(hooked(inner)) as within:
        around.choose(HERE)
        within.choose(None)
        assert said(inner) == ["EADDRNOTAVAIL", "::"]
        assert said(outer) == [str(HERE)]
