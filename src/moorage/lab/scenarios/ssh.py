"""A stock SSH session, which knows nothing of mobility, while the host moves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from string import Template
from typing import IO, Final

import click

from moorage.lab.lab import Lab, Node
from moorage.lab.namespaces import real_user
from moorage.lab.network import NODE_FOLDER
from moorage.lab.programs import path_of, server, typed_address
from moorage.lab.scenarios import ScenarioFailed, move_on, scenario
from moorage.service import ServiceType

MOVES: Final = 10
LINES: Final = 300_000
"""Lines of output for each move: more than all buffers on the way hold."""

_HOST: Final = "mn"
_SERVER: Final = "cn"
_PLACE: Final = NODE_FOLDER / "ssh"
_KEY: Final = "key"

_SSHD: Final = Template(
    """\
ListenAddress [$address]:22
HostKey $folder/key
AuthorizedKeysFile $folder/authorized
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
"""
)


@scenario("two-routers", needs=("ssh", "ssh-keygen", "sshd"))
def ssh_session(lab: Lab) -> None:
    """An interactive SSH session goes on, line by line, while the host moves ten times."""
    if real_user() != 0:
        raise ScenarioFailed("sshd changes its user, so that this needs to be run by root")
    host, peer = lab.node(_HOST), lab.node(_SERVER)
    destination = lab.topology().correspondents[_SERVER].core.address
    own, theirs = _new_key(host), _new_key(peer)
    folder = _outside(peer)
    (folder / "authorized").write_text(own)
    (folder / "conf").write_text(_SSHD.substitute(address=destination, folder=_PLACE))
    (_outside(host) / "known").write_text(f"{destination} {theirs}")
    peer.run(["mkdir", "-p", "/run/sshd"])
    address = typed_address(host, ServiceType.SESSION_LASTING)
    click.echo(f"ssh -b {address}")
    ssh = [path_of("ssh"), "-F", "none", "-T", "-b", address, "-i", str(_PLACE / _KEY)]
    options = ["-o", f"UserKnownHostsFile={_PLACE / 'known'}", "-o", "StrictHostKeyChecking=yes"]
    command = [*ssh, *options, f"root@{destination}", "sh"]
    sshd = [path_of("sshd"), "-D", "-e", "-f", str(_PLACE / "conf")]
    pipe = subprocess.PIPE
    with (
        server(peer, sshd, "Server listening"),
        host.popen(command, stdin=pipe, stdout=pipe) as client,
    ):
        try:
            assert client.stdin is not None
            assert client.stdout is not None
            _converse(lab, client.stdin, client.stdout, address)
            client.stdin.close()
            if client.wait():
                raise ScenarioFailed(f"ssh: status {client.returncode}")
        except BaseException:
            client.kill()
            raise
    click.echo(f"one session, {MOVES} moves, {MOVES * LINES:,} lines as they have to be")


def _converse(lab: Lab, shell: IO[bytes], output: IO[bytes], address: str) -> None:
    """Ask for output and move in the middle of it, again and again."""
    session = _ask(shell, output)
    if session.split()[1:2] != [address]:
        raise ScenarioFailed(f"the session is from another address than {address}: {session!r}")
    for move in range(1, MOVES + 1):
        first, last = (move - 1) * LINES + 1, move * LINES
        shell.write(f"seq {first} {last}\n".encode())
        shell.flush()
        for number in range(first, last + 1):
            line = output.readline()
            if line != b"%d\n" % number:
                raise ScenarioFailed(f"instead of line {number}: {line!r}")
            if number == first:
                click.echo(f"move {move}: {_HOST} is at {move_on(lab, _HOST)}, line {number:,}")
        if _ask(shell, output) != session:
            raise ScenarioFailed("this is another session")


def _ask(shell: IO[bytes], output: IO[bytes]) -> str:
    """Which process serves the session, and between which addresses."""
    shell.write(b"echo $$ $SSH_CONNECTION\n")
    shell.flush()
    return output.readline().decode()


def _outside(node: Node) -> Path:
    return node.folder / _PLACE.relative_to(NODE_FOLDER)


def _new_key(node: Node) -> str:
    """Make a key in a node and return its public part, as `authorized_keys` has it."""
    folder = _outside(node)
    folder.mkdir()
    generate = [path_of("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(_PLACE / _KEY)]
    node.run(generate)
    return (folder / f"{_KEY}.pub").read_text()
