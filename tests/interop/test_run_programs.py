"""`moorage run`: programs that know nothing of types call from addresses of one."""

from __future__ import annotations

import json
import os
import pty
import shlex
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from ipaddress import IPv6Address

import pytest

from moorage.lab.namespaces import become_root
from moorage.service import ServiceType
from tests.conformance.conftest import LINGER
from tests.conformance.scene import PATIENCE, Scene, eventually, open_scene
from tests.interop import running
from tests.interop.running import RESPONSE, accepted, listening, popen, port_of, received, run
from tests.lab.inside import moorage, moorage_json
from tests.leaks import nothing_left_behind

pytestmark = [pytest.mark.netns, pytest.mark.interop]

LASTING = ServiceType.SESSION_LASTING
GRACEFUL = ServiceType.GRACEFUL_REPLACEMENT

CALLER = """
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    int connected = socket(AF_INET6, SOCK_STREAM, 0), loose = socket(AF_INET6, SOCK_DGRAM, 0);

    if (count != 4)
        return 2;
    inet_pton(AF_INET6, words[1], &to.sin6_addr);
    to.sin6_port = htons(atoi(words[2]));
    if (connect(connected, (struct sockaddr *)&to, sizeof to) != 0)
        return 1;
    to.sin6_port = htons(atoi(words[3]));
    return sendto(loose, "ahoy", 4, 0, (struct sockaddr *)&to, sizeof to) != 4;
}
"""

SOCKETS = """
import socket, sys
to, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
socket.create_connection((to, tcp)).close()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as connected:
    connected.connect((to, udp))
    connected.send(b"connected")
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as loose:
    loose.sendto(b"loose", (to, udp))
    loose.sendmsg([b"loose"], [], 0, (to, udp))
    print(loose.getsockname()[0])
"""

LEFT_ALONE = """
import socket, struct, sys
to, udp, own = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def source(target, bound=None, kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET6, kind) as sock:
        if bound is not None:
            sock.bind(bound)
        sock.connect(target)
        return sock.getsockname()[0]
print(source((to, udp), (own, 0)))
print(source(("::1", 9)))
print(source(("::ffff:127.0.0.1", 9)))
for target in ("ff02::1", "fe80::1"):
    print(source((target, 9, 0, socket.if_nametoindex("wl0")))[:6])
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as loose:
    info = socket.inet_pton(socket.AF_INET6, own) + struct.pack("=I", 0)
    loose.sendmsg([b"x"], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)], 0, (to, udp))
"""

HOLDS = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as held:
    held.recv(1)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    become_root()
    with (
        nothing_left_behind(),
        open_scene(
            tmp_path_factory.mktemp("store"), host={"linger": LINGER, "at_boot": []}
        ) as scene,
    ):
        eventually(scene.settled)
        yield scene
        running.await_no_groups(scene.host)


@contextmanager
def waiting(scene: Scene, service: ServiceType, script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that runs, and goes on with a script when it is told to."""
    with popen(
        scene, service, "sh", "-c", f"echo ready; read x; {script}", stdin=running.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A static program that calls by TCP and by UDP."""
    return running.build(tmp_path_factory.mktemp("static"), "caller", CALLER, "-static")


# ---- whose source is what --------------------------------------------------------------------


def test_curl(scene: Scene) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with popen(scene, LASTING, "curl", "--silent", url) as process:
            connection, source = accepted(server)
            assert source == running.typed(scene, LASTING)
            connection.sendall(RESPONSE)
            connection.close()
            assert process.communicate()[0] == running.BODY
        assert process.returncode == 0


def test_curl_goes_on_with_its_download_after_a_move(scene: Scene) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with popen(scene, LASTING, "curl", "--silent", url) as process:
            connection, source = accepted(server)
            with connection:
                connection.sendall(RESPONSE[:-2])
                scene.move()
                connection.sendall(RESPONSE[-2:])
            assert process.communicate()[0] == running.BODY
            assert source not in scene.pool(scene.here)


def test_what_runs_on_calls_from_the_same_address_after_a_move(scene: Scene) -> None:
    with listening(scene.peer) as server:
        script = f"exec curl --silent http://[{scene.destination}]:{port_of(server)}/"
        with waiting(scene, LASTING, script) as process:
            address = running.typed(scene, LASTING)
            scene.move()
            go_on(process)
            connection, source = accepted(server)
            connection.sendall(RESPONSE)
            connection.close()
            assert process.wait(PATIENCE) == 0
            assert source == address
            assert source not in scene.pool(scene.here)


def test_ssh(scene: Scene) -> None:
    with listening(scene.peer) as server:
        options = ["-o", "BatchMode=yes", "-p", str(port_of(server))]
        with popen(
            scene, GRACEFUL, "ssh", *options, str(scene.destination), stderr=running.PIPE
        ) as process:
            connection, source = accepted(server)
            with connection:
                assert connection.recv(100).startswith(b"SSH-2.0-OpenSSH")
                assert source == running.typed(scene, GRACEFUL)
            assert process.wait(PATIENCE) == 255


@pytest.mark.parametrize("protocol", [[], ["--udp"]], ids=["TCP", "UDP"])
def test_iperf3(scene: Scene, protocol: list[str]) -> None:
    with scene.peer.popen(
        ["iperf3", "--server", "--one-off", "--forceflush"], stdout=running.PIPE
    ) as server:
        assert server.stdout is not None
        assert any(b"listening" in line for line in server.stdout)
        call = ["iperf3", "--json", "--bytes", "100K", *protocol, "--client"]
        said = json.loads(run(scene, LASTING, *call, str(scene.destination)))
        heard = server.stdout.read().decode()
    sources = {each["local_host"] for each in said["start"]["connected"]}
    [source] = sources
    assert IPv6Address(source) in scene.binding(IPv6Address(source)).prefix
    assert heard.count(f"{source} port") >= 1


def test_python(scene: Scene) -> None:
    with listening(scene.peer) as tcp, listening(scene.peer, socket.SOCK_DGRAM) as udp:
        arguments = [str(scene.destination), str(port_of(tcp)), str(port_of(udp))]
        assert run(scene, LASTING, sys.executable, "-c", SOCKETS, *arguments) == "::\n"
        connection, source = accepted(tcp)
        connection.close()
        assert {received(udp) for _ in range(3)} == {source}
        assert scene.binding(source).type is LASTING


def test_a_static_program(scene: Scene, static: str) -> None:
    with listening(scene.peer) as tcp, listening(scene.peer, socket.SOCK_DGRAM) as udp:
        run(scene, LASTING, static, str(scene.destination), str(port_of(tcp)), str(port_of(udp)))
        connection, source = accepted(tcp)
        connection.close()
        assert received(udp) == source
        assert scene.binding(source).type is LASTING


def test_a_program_of_go(scene: Scene) -> None:
    with listening(scene.peer) as server:
        url = f"http://[{scene.destination}]:{port_of(server)}/"
        with popen(scene, LASTING, "hey", "-n", "1", "-c", "1", url) as process:
            connection, source = accepted(server)
            assert source == running.typed(scene, LASTING)
            connection.recv(1000)
            connection.sendall(RESPONSE)
            connection.close()
            assert b"[200]\t1 responses" in process.communicate()[0]


def test_each_type_is_what_it_is_said_to_be(scene: Scene) -> None:
    ordinary = scene.ordinary()
    with listening(scene.peer) as server:
        call = ["curl", "--silent", f"http://[{scene.destination}]:{port_of(server)}/"]
        for service in ServiceType:
            with popen(scene, service, *call) as process:
                connection, source = accepted(server)
                connection.sendall(RESPONSE)
                connection.close()
                assert process.wait(PATIENCE) == 0
            if service is ServiceType.NON_PERSISTENT:
                assert source in ordinary
            else:
                assert scene.binding(source).type is service


def test_whoever_looks_inside_sees_it(scene: Scene) -> None:
    """The socket is that of a child of the process that was run."""
    with listening(scene.peer) as server:
        holds = shlex.join([sys.executable, "-c", HOLDS, str(scene.destination)])
        with waiting(scene, LASTING, f"{holds} {port_of(server)}; exit") as process:
            go_on(process)
            connection, source = accepted(server)
            [found] = [
                each
                for each in moorage_json(scene.host, "sockets")
                if each["address"] == str(source)
            ]
            assert (found["type"], found["state"]) == (LASTING.slug, "established")
            [holder] = found["processes"]
            [use] = moorage_json(scene.host, "why", str(holder["pid"]))["uses"]
            assert use["request"]["answer"]["address"] == str(source)
            assert use["request"]["pid"] != holder["pid"]
            text = moorage(scene.host, "why", str(holder["pid"]))
            assert "was run with such addresses by default" in text
            connection.close()


AS_NOBODY = """
import encodings.idna, os, socket, sys  # the first is a file that nobody may read
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
to, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
socket.create_connection((to, tcp)).close()
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as loose:
    loose.sendto(b"loose", (to, udp))
    source = sys.stdin.readline().strip()
    try:
        socket.create_connection((to, tcp), source_address=(source, 0))
    except PermissionError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's identity")
def test_a_program_may_give_up_its_rights(scene: Scene) -> None:
    """Only root may have a Fixed address: what is chosen stays allowed, what is taken is not."""
    with listening(scene.peer) as tcp, listening(scene.peer, socket.SOCK_DGRAM) as udp:
        arguments = [str(scene.destination), str(port_of(tcp)), str(port_of(udp))]
        whole = [sys.executable, "-c", AS_NOBODY, *arguments]
        with popen(scene, ServiceType.FIXED, *whole, stdin=running.PIPE) as process:
            connection, source = accepted(tcp)
            connection.close()
            assert received(udp) == source
            assert scene.binding(source).type is ServiceType.FIXED
            assert process.communicate(f"{source}\n".encode())[0] == b"Permission denied\n"


# ---- whose is not ----------------------------------------------------------------------------


def test_what_programs_choose_is_left_alone(scene: Scene) -> None:
    [ordinary, *_] = scene.ordinary()
    with listening(scene.peer, socket.SOCK_DGRAM) as udp:
        arguments = [str(scene.destination), str(port_of(udp)), str(ordinary)]
        said = run(scene, LASTING, sys.executable, "-c", LEFT_ALONE, *arguments).split()
        assert received(udp) == ordinary
    assert said == [str(ordinary), "::1", "::ffff:127.0.0.1", "fe80::", "fe80::"]


def test_other_programs_go_on_as_ever(scene: Scene) -> None:
    with waiting(scene, LASTING, "exit"), scene.connect_plainly() as connection:
        assert connection.source in scene.ordinary()


# ---- for how long ----------------------------------------------------------------------------


def test_the_address_goes_with_the_program_even_if_it_is_killed(scene: Scene) -> None:
    with waiting(scene, GRACEFUL, "exit") as process:
        assert scene.of_type(GRACEFUL)
        assert len(running.groups(scene.host)) == 1
        process.kill()
    running.await_no_groups(scene.host)
    eventually(lambda: not scene.of_type(GRACEFUL))


def test_what_goes_on_without_its_first_process_keeps_the_address(scene: Scene) -> None:
    with listening(scene.peer) as server:
        holds = shlex.join([sys.executable, "-c", HOLDS, str(scene.destination)])
        with waiting(scene, LASTING, f"{holds} {port_of(server)} & exit 3") as process:
            go_on(process)
            connection, source = accepted(server)
            assert process.wait(PATIENCE) == 3
            assert source in scene.typed()
            assert running.groups(scene.host)
            connection.close()
    running.await_no_groups(scene.host)
    eventually(lambda: source not in scene.typed())


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_daemon_that_is_started_anew_takes_up_what_runs(scene: Scene, way: str) -> None:
    daemon = scene.lab.daemon("mn")
    with listening(scene.peer) as server:
        script = f"exec curl --silent http://[{scene.destination}]:{port_of(server)}/"
        with waiting(scene, LASTING, script) as process:
            address = running.typed(scene, LASTING)
            getattr(daemon, way)()
            daemon.start()
            eventually(scene.settled)
            go_on(process)
            connection, source = accepted(server)
            connection.sendall(RESPONSE)
            connection.close()
            assert process.wait(PATIENCE) == 0
    assert source == address


# ---- as if it were not there -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -9), ("kill $$", -15)]
)
def test_the_exit_status_is_the_commands(scene: Scene, script: str, status: int) -> None:
    with popen(scene, LASTING, "sh", "-c", script) as process:
        assert process.wait(PATIENCE) == status


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["/nowhere"], 127, "/nowhere: No such file or directory\n"),
        (["/etc"], 126, "/etc: Permission denied\n"),
    ],
)
def test_what_cannot_be_run_is_named(scene: Scene, argv: list[str], status: int, said: str) -> None:
    with popen(scene, LASTING, *argv, stderr=running.PIPE) as process:
        assert process.communicate()[1].decode() == said
    assert process.returncode == status


TERMINAL = """
import os, signal, sys, time
signal.signal(signal.SIGWINCH, lambda *_: print("size", *os.get_terminal_size(0), flush=True))
signal.signal(signal.SIGINT, lambda *_: (print("interrupted", flush=True), sys.exit(9)))
signal.signal(signal.SIGCONT, lambda *_: print("goes on", flush=True))
print("ready", os.isatty(0), os.getpgrp() == os.tcgetpgrp(0), flush=True)
while True:
    signal.pause()
"""


class Terminal:
    """A terminal with a command in front."""

    def __init__(self, argv: list[str]) -> None:
        self.child, self._descriptor = pty.fork()
        if self.child == 0:
            os.execv(argv[0], argv)
        self._said = b""

    def expect(self, text: str) -> None:
        """Read until somebody has written this."""
        while text.encode() not in self._said:
            self._said += os.read(self._descriptor, 1000)
        self._said = self._said.partition(text.encode())[2]

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("=HHHH", lines, columns, 0, 0))

    def end(self) -> int:
        _, status = os.waitpid(self.child, 0)
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(status)


def test_the_terminal_is_the_commands(scene: Scene) -> None:
    """A shell between them stops and continues it, as a user does."""
    program = running.command(LASTING, sys.executable, "-c", "PROGRAM")
    enter = [sys.executable, "-m", "moorage", "lab", "--name", scene.lab.name, "exec", "mn", "--"]
    terminal = Terminal([*enter, "bash", "--norc", "-i"])
    terminal.type(b"PS1=; unset MOORAGE_SOCKET\n")
    terminal.type(b"PROGRAM='" + TERMINAL.encode() + b"'\n")
    terminal.type(shlex.join(program).replace("PROGRAM", '"$PROGRAM"').encode() + b"\n")
    terminal.expect("ready True True")
    terminal.resize(101, 7)
    terminal.expect("size 101 7")
    terminal.type(b"\x1a")
    terminal.expect("Stopped")
    terminal.type(b"fg\n")
    terminal.expect("goes on")
    terminal.type(b"\x03")
    terminal.expect("interrupted")
    terminal.type(b"echo status $?\n")
    terminal.expect("status 9")
    terminal.type(b"exit 4\n")
    assert terminal.end() == 4
