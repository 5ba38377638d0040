"""The DHCPv6 server on real links: relay agents, addresses, Reconfigure, and a flood."""

from __future__ import annotations

import asyncio
import hmac
import logging
import queue
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from moorage.complaints import Complaints
from moorage.kernel.addresses import Address, NetlinkAddressTable
from moorage.kernel.links import NetlinkLinkTable
from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Add, Route
from moorage.lab.lab import Lab, Node
from moorage.lab.ping import ping
from moorage.router.account import Account
from moorage.router.config import RouterConfig
from moorage.router.link import LinkServer
from moorage.router.mirror import Mirror
from moorage.router.paths import MAIN_TABLE
from moorage.router.reconfigure import ReconfigureKeys
from moorage.router.server import DelegationServer
from moorage.store.memory import MemoryStore
from moorage.store.protocol import BindingChanged, Change, Delete
from moorage.wire.dhcp6 import (
    ALL_SERVERS,
    SERVER_PORT,
    Authentication,
    ClientId,
    IaAddr,
    IaNa,
    InterfaceId,
    Message,
    MessageType,
    Option,
    RapidCommit,
    ReconfigureAccept,
    ReconfigureMessage,
    Relay,
    RelayMessageOption,
    Status,
    StatusCode,
    decode_message,
)
from tests.domain import ANY, Client, ia, lease, router_config
from tests.lab.endpoint import PORT_7, Endpoint
from tests.lab.plain_host import interface, reached, set_up

pytestmark = pytest.mark.netns

ANYWHERE = IPv6Network("::/0")
PATIENCE = 10.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def inside(relay: Relay) -> Message:
    """What a Relay-reply brings."""
    content = relay.first(RelayMessageOption)
    assert content is not None
    message = decode_message(content.message)
    assert isinstance(message, Message)
    return message


# ---- addresses -----------------------------------------------------------------------------------


def add_address(address: IPv6Address, index: int, gateway: IPv6Address) -> None:
    """Do what a client does with an address that it is given."""
    with closing(NetlinkAddressTable()) as table, closing(NetlinkRouteTable(4)) as routes:
        table.add(Address(address, index, 128))
        default = Route(ANYWHERE, MAIN_TABLE, gateway=gateway, interface=index, metric=1)
        assert routes.apply([Add(default)]) == [None]


def ask_for_address(client: Endpoint) -> IPv6Address:
    """The address that a client gets."""
    rapid: list[Option] = [RapidCommit(), IaNa(1, 0, 0)]
    [found] = client.exchange(client.message(MessageType.SOLICIT, options=rapid)).every(IaNa)
    [given] = found.addresses
    return given.address


def test_a_host_that_asks_for_one_address_is_reached_by_it(lab: Lab, stack: ExitStack) -> None:
    pool = IPv6Network("2001:db8:1001::f00/120")
    access = {"interface": "acc0", "address_pool": str(pool)}
    lab.daemon("ar1").start(access=[access])
    client = Endpoint(lab, stack)
    address = ask_for_address(client)
    assert address in pool
    client.node.call(add_address, address, client.index, IPv6Address(client.router))
    assert ping(lab.node("cn"), address, within=PATIENCE) is not None
    # The daemon's next life knows whose it is.
    lab.daemon("ar1").kill()
    lab.daemon("ar1").start(access=[access])
    assert ask_for_address(client) == address


def test_a_moved_host_learns_that_its_address_is_of_another_link(
    lab: Lab, stack: ExitStack
) -> None:
    for name in ("ar1", "ar2"):
        lab.daemon(name).start()
    client = Endpoint(lab, stack)
    address = ask_for_address(client)
    held = IaNa(1, 0, 0, (IaAddr(address, 0, 0),))
    confirm = client.message(MessageType.CONFIRM, options=[held])
    assert client.exchange(confirm).first(StatusCode) == StatusCode(Status.SUCCESS)
    lab.move("mn", "ar2")
    client.index, client.source = client.node.call(interface, "wl0")
    status = client.exchange(confirm).first(StatusCode)
    assert status is not None
    assert status.code == Status.NOT_ON_LINK


# ---- relay agents --------------------------------------------------------------------------------


def test_what_a_relay_agent_asks_for_is_routed_to_it(lab: Lab, stack: ExitStack) -> None:
    agent = Endpoint(lab, stack, port=SERVER_PORT)
    behind = IPv6Network("2001:db8:88::/64")
    slaac = lab.topology().routers["ar1"].access.prefix
    relay = {"address": str(agent.source), "links": [str(behind)]}
    access = {"interface": "acc0", "slaac_prefix": str(slaac), "relays": [relay]}
    lab.daemon("ar1").start(access=[access])
    client = Client(time.time, None, speaks=False)  # type: ignore[arg-type]
    rapid = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    reply = agent.relay(rapid.encode(), behind[1], ALL_SERVERS)
    assert (reply.link_address, reply.first(InterfaceId)) == (behind[1], PORT_7)
    prefix = lease(inside(reply)).prefix
    agent.node.call(set_up, prefix, agent.index, IPv6Address(agent.router))
    assert reached(lab, prefix)
    # Agents may know a server's address; a client may not use it.
    direct = slaac[1]
    again = agent.relay(rapid.encode(), behind[1], direct)
    assert lease(inside(again)).prefix == prefix


def test_who_sends_to_the_router_alone_is_told_to_use_the_group(lab: Lab, stack: ExitStack) -> None:
    lab.daemon("ar1").start()
    client = Endpoint(lab, stack)
    solicit = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    prefix = lease(client.exchange(solicit)).prefix
    server = router_config(domain="6d6f6f726167652d").server_duid
    renew = client.message(MessageType.RENEW, [ia(1, prefix)], server=server)
    client.send(renew.encode(), IPv6Address(client.router))
    reply = client.receive()
    assert isinstance(reply, Message)
    status = reply.first(StatusCode)
    assert status is not None
    assert status.code == Status.USE_MULTICAST
    assert lease(client.exchange(renew)).prefix == prefix


# ---- Reconfigure ---------------------------------------------------------------------------------


class Learner:
    """Knows what is committed, and has no kernel to follow it."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def prepare(self, changes: Sequence[Change]) -> None:
        pass

    def committed(self, commits: Sequence[tuple[int, Sequence[Change]]]) -> None:
        for revision, changes in commits:
            for change in changes:
                assert not isinstance(change, Delete)
                self._mirror.learn(BindingChanged(revision, change.binding), time.time())

    def abandoned(self, changes: Sequence[Change]) -> None:
        pass


class Service:
    """The server on a router's access link, without the rest of the daemon."""

    def __init__(self, config: RouterConfig) -> None:
        self.ready: queue.Queue[None] = queue.Queue()
        self.kinds: queue.Queue[MessageType | None] = queue.Queue()
        self.silent: queue.Queue[list[bytes]] = queue.Queue()
        self._config = config

    def run(self) -> None:
        """Serve, and reconfigure clients as often as somebody says so; until he says None."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        mirror, store = Mirror(0), MemoryStore()
        complaints = Complaints(logging.getLogger("test"))
        keys = ReconfigureKeys(bytes(16))
        account = Account(self._config.id, mirror.holder, lambda _: None, time.time)
        server = DelegationServer(
            self._config, store, mirror, Learner(mirror), complaints, account, keys=keys
        )
        [access] = self._config.access
        index, _ = interface(access.interface)
        with closing(NetlinkLinkTable()) as table:
            [link] = [link for link in table.links() if link.index == index]
        serving = LinkServer(self._config, access, link, server, complaints)
        self.ready.put(None)
        while (kind := await asyncio.to_thread(self.kinds.get)) is not None:
            self.silent.put(await server.reconfigurer.run(kind))
        serving.close()


@contextmanager
def served(node: Node, config: RouterConfig) -> Iterator[Service]:
    """Have a node's access link served."""
    service = Service(config)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(node.call, service.run)
        service.ready.get(timeout=PATIENCE)
        try:
            yield service
        finally:
            service.kinds.put(None)
            running.result()


@pytest.mark.parametrize("kind", [MessageType.RENEW, MessageType.REBIND])
def test_a_client_comes_back_when_it_is_told_to(
    lab: Lab, stack: ExitStack, kind: MessageType
) -> None:
    config = router_config()
    config = router_config(access=config.access[:1])
    client = Endpoint(lab, stack)
    with served(lab.node("ar1"), config) as service:
        willing: list[Option] = [RapidCommit(), ReconfigureAccept()]
        reply = client.exchange(client.message(MessageType.SOLICIT, [ia(1, ANY)], options=willing))
        given = reply.first(Authentication)
        assert given is not None
        key = given.information[1:]
        service.kinds.put(kind)
        told = client.receive()
        assert isinstance(told, Message)
        assert (told.type, told.transaction_id) == (MessageType.RECONFIGURE, 0)
        assert told.first(ReconfigureMessage) == ReconfigureMessage(kind)
        datagram = told.encode()
        assert datagram[-16:] == hmac.digest(key, datagram[:-16] + bytes(16), "md5")
        authentication = told.first(Authentication)
        assert authentication is not None
        assert authentication.replay_detection > given.replay_detection
        server = config.server_duid if kind is MessageType.RENEW else None
        message = client.message(kind, [ia(1, lease(reply).prefix)], server=server)
        assert lease(client.exchange(message)).prefix == lease(reply).prefix
        assert service.silent.get(timeout=PATIENCE) == []


# ---- a flood -------------------------------------------------------------------------------------

FLOOD = """
import os, socket, sys
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
target = ("ff02::1:2", 547, 0, int(sys.argv[1]))
before, after = (bytes.fromhex(part) for part in sys.argv[2:])
print("ready", flush=True)
while True:
    datagram = b"\\1" + os.urandom(3) + before + os.urandom(16) + after
    try:
        sock.sendto(datagram, target)
    except OSError:
        pass
"""


@contextmanager
def flood(node: Node, index: int) -> Iterator[None]:
    """Send Solicits of clients that do not exist, as fast as the machine can."""
    identity = b"\x00\x04" + bytes(16)
    options = (ClientId(identity), RapidCommit(), ia(1, ANY))
    before, after = Message(MessageType.SOLICIT, 0, options).encode()[4:].split(bytes(16), 1)
    arguments = [sys.executable, "-c", FLOOD, str(index), before.hex(), after.hex()]
    with node.popen(arguments, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def count_bindings(folder: Path) -> int:
    """How many bindings the store of a lab has."""
    with closing(sqlite3.connect(folder / "bindings.db")) as store:
        ((count,),) = store.execute("SELECT count(*) FROM binding")
    return int(count)


@pytest.fixture
def kept(mark: str, tmp_path: Path) -> Iterator[Lab]:
    """A lab whose store is in the test's folder."""
    with Lab.start("two-routers", state=tmp_path) as lab:
        yield lab


def test_a_flood_of_strangers_neither_fills_the_store_nor_keeps_known_hosts_waiting(
    kept: Lab, stack: ExitStack, tmp_path: Path
) -> None:
    lab, rate = kept, 20.0
    lab.daemon("ar1").start(new_clients=rate)
    client = Endpoint(lab, stack)
    solicit = client.message(MessageType.SOLICIT, [ia(1, ANY)], options=[RapidCommit()])
    prefix = lease(client.exchange(solicit)).prefix
    rebind = client.message(MessageType.REBIND, [ia(1, prefix)])
    start = time.monotonic()
    with flood(client.node, client.index):
        for _ in range(50):
            assert lease(client.exchange(rebind)).prefix == prefix
            assert lease(client.exchange(solicit)).prefix == prefix
    assert lab.daemon("ar1").stop() == 0
    most = rate + rate * (time.monotonic() - start)
    assert 1 < count_bindings(tmp_path) <= 1 + most
