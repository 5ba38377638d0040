"""Two worlds for the same tests: a fresh network namespace, and the kernel in memory."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest

from moorage.kernel import seg6, sysctl
from moorage.kernel.addresses import Address, AddressTable, NetlinkAddressTable
from moorage.kernel.fake import FakeKernel, FakeRouteTable
from moorage.kernel.links import Link, LinkTable, NetlinkLinkTable
from moorage.kernel.monitor import AddressChanged, Event, Group, Monitor, NetlinkMonitor
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.sysctl import Sysctl
from moorage.numbers import ROUTE_PROTOCOL

CLONE_NEWNET = 0x40000000


@contextmanager
def only_real_root() -> Iterator[None]:
    """Skip the test where the kernel wants root of the whole machine."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        pytest.skip("needs root outside of user namespaces")


class Ip:
    """The ``ip`` program of iproute2, the oracle of these tests."""

    def __call__(self, *arguments: str) -> str:
        command = ["ip", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self("-json", *arguments) or "[]")


class World(ABC):
    """A network namespace, and what a test can do to it from outside."""

    @abstractmethod
    def route_table(self, protocol: int = ROUTE_PROTOCOL) -> NetlinkRouteTable | FakeRouteTable: ...

    @abstractmethod
    def address_table(self) -> AddressTable: ...

    @abstractmethod
    def link_table(self) -> LinkTable: ...

    @abstractmethod
    def monitor(self, groups: Iterable[Group], except_port: int = 0) -> Monitor: ...

    @abstractmethod
    def sysctl(self) -> Sysctl: ...

    @abstractmethod
    def set_tunnel_source(self, address: IPv6Address) -> None: ...

    @abstractmethod
    def tunnel_source(self) -> IPv6Address: ...

    @abstractmethod
    def add_link(self, name: str) -> int:
        """Add an interface that is up, and return its index."""

    @abstractmethod
    def add_address(self, address: str, length: int) -> None:
        """Add an address to the loopback interface, and wait until it works."""

    @abstractmethod
    def set_down(self, index: int) -> None: ...

    @abstractmethod
    def remove_link(self, index: int) -> None: ...

    def wait(self, monitor: Monitor, done: Callable[[Event], bool]) -> list[Event]:
        """What the monitor tells, up to the event that is waited for and what came with it."""
        events: list[Event] = []
        while not any(done(event) for event in events):
            assert select.select([monitor], [], [], 10)[0], f"only saw {events}"
            events += monitor.read()
        return events


class KernelWorld(World):
    def __init__(self, stack: ExitStack, ip: Ip) -> None:
        self._stack = stack
        self._ip = ip

    def route_table(self, protocol: int = ROUTE_PROTOCOL) -> NetlinkRouteTable:
        return self._stack.enter_context(closing(NetlinkRouteTable(protocol)))

    def address_table(self) -> NetlinkAddressTable:
        return self._stack.enter_context(closing(NetlinkAddressTable()))

    def link_table(self) -> NetlinkLinkTable:
        return self._stack.enter_context(closing(NetlinkLinkTable()))

    def monitor(self, groups: Iterable[Group], except_port: int = 0) -> NetlinkMonitor:
        return self._stack.enter_context(closing(NetlinkMonitor(groups, except_port)))

    def sysctl(self) -> Sysctl:
        return sysctl

    def set_tunnel_source(self, address: IPv6Address) -> None:
        with only_real_root():
            seg6.set_tunnel_source(address)

    def tunnel_source(self) -> IPv6Address:
        with only_real_root():
            return seg6.tunnel_source()

    def add_link(self, name: str) -> int:
        self._ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
        self._ip("link", "set", f"{name}-far", "up")
        self._ip("link", "set", name, "up")
        return socket.if_nametoindex(name)

    def add_address(self, address: str, length: int, name: str = "lo") -> None:
        expected = IPv6Address(address)
        with closing(NetlinkMonitor([Group.ADDRESS])) as monitor:
            self._ip("address", "add", f"{address}/{length}", "dev", name, "nodad")
            self.wait(
                monitor,
                lambda event: (
                    isinstance(event, AddressChanged)
                    and event.address.address == expected
                    and event.address.usable
                ),
            )

    def set_down(self, index: int) -> None:
        self._ip("link", "set", socket.if_indextoname(index), "down")

    def remove_link(self, index: int) -> None:
        self._ip("link", "delete", socket.if_indextoname(index))


class MemoryWorld(World):
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._kernel = FakeKernel()
        for name in ("all", "default", "lo"):
            self._kernel.sysctl.write(f"net/ipv6/conf/{name}/forwarding", "0")

    def route_table(self, protocol: int = ROUTE_PROTOCOL) -> FakeRouteTable:
        return self._kernel.route_table(protocol)

    def address_table(self) -> AddressTable:
        return self._kernel.address_table()

    def link_table(self) -> LinkTable:
        return self._kernel.link_table()

    def monitor(self, groups: Iterable[Group], except_port: int = 0) -> Monitor:
        return self._stack.enter_context(closing(self._kernel.monitor(groups, except_port)))

    def sysctl(self) -> Sysctl:
        return self._kernel.sysctl

    def set_tunnel_source(self, address: IPv6Address) -> None:
        self._kernel.set_tunnel_source(address)

    def tunnel_source(self) -> IPv6Address:
        return self._kernel.tunnel_source()

    def add_link(self, name: str) -> int:
        index = max(self._kernel.links) + 1
        mac = bytes((2, 0, 0, 0, 0, index))
        self._kernel.set_link(Link(index, name, mac, 1500, up=True, carrier=True, loopback=False))
        return index

    def add_address(self, address: str, length: int) -> None:
        self.address_table().add(Address(IPv6Address(address), 1, length))

    def set_down(self, index: int) -> None:
        link = self._kernel.links[index]
        self._kernel.set_link(replace(link, up=False, carrier=False))

    def remove_link(self, index: int) -> None:
        self._kernel.remove_link(index)


@pytest.fixture
def ip() -> Ip:
    """Skips where iproute2 is not installed."""
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2")
    return Ip()


@pytest.fixture
def namespace(ip: Ip) -> Iterator[None]:
    """A network namespace in which the test runs, with ``lo`` up and no addresses by itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip("may not make network namespaces: run it as root, or by `unshare -Ur`")
        try:
            sysctl.write("net/ipv6/conf/default/addr_gen_mode", "1")
            ip("link", "set", "lo", "up")
            yield
        finally:
            # Root of a user namespace has no way home, and the next test needs none.
            assert libc.setns(home, CLONE_NEWNET) == 0 or ctypes.get_errno() == errno.EPERM
    finally:
        os.close(home)


@pytest.fixture
def kernel(namespace: None, ip: Ip) -> Iterator[KernelWorld]:
    """For what only the real kernel can show."""
    with ExitStack() as stack:
        yield KernelWorld(stack, ip)


@pytest.fixture(params=["memory", pytest.param("kernel", marks=pytest.mark.netns)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both worlds, one after the other."""
    if request.param == "kernel":
        yield request.getfixturevalue("kernel")
    else:
        with ExitStack() as stack:
            yield MemoryWorld(stack)
