"""`moorage lab exec` and `Node.popen`: terminal, signals and exit status pass through."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from moorage.lab.lab import Lab

pytestmark = pytest.mark.netns

TRAP = "trap 'echo caught; exit 9' {}; echo ready; read line"


def command(lab: Lab, *argv: str) -> list[str]:
    return [sys.executable, "-m", "moorage", "lab", "--name", lab.name, "exec", "mn", "--", *argv]


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", -signal.SIGKILL), ("kill $$", -15)],
)
def test_the_command_ends_as_it_would_outside(lab: Lab, script: str, status: int) -> None:
    assert subprocess.run(command(lab, "sh", "-c", script), check=False).returncode == status
    with lab.node("mn").popen(["sh", "-c", script]) as process:
        assert process.wait() == status


def test_a_command_that_cannot_be_run_is_named(lab: Lab) -> None:
    done = subprocess.run(command(lab, "/nowhere"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (127, "/nowhere: No such file or directory\n")
    done = subprocess.run(command(lab, "/etc"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (126, "/etc: Permission denied\n")


def test_options_after_the_node_are_the_commands_own(lab: Lab) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "moorage",
            "lab",
            "--name",
            lab.name,
            "exec",
            "mn",
            "echo",
            "-x",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "-x --help\n"


def test_standard_streams_and_folder_are_the_callers(lab: Lab) -> None:
    done = subprocess.run(
        command(lab, "sh", "-c", "cat; pwd >&2"),
        input="some text",
        capture_output=True,
        text=True,
        check=True,
        cwd="/usr",
    )
    assert (done.stdout, done.stderr) == ("some text", "/usr\n")


def test_it_has_the_nodes_interfaces(lab: Lab) -> None:
    script = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    done = subprocess.run(
        command(lab, sys.executable, "-c", script), capture_output=True, text=True, check=True
    )
    assert done.stdout == "['lo', 'wl0', 'wl1']\n"


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"])
def test_a_signal_reaches_the_command(lab: Lab, name: str) -> None:
    with lab.node("mn").popen(
        ["sh", "-c", TRAP.format(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.stdout.read() == b"caught\n"
        assert process.wait() == 9


def test_the_command_does_not_outlive_a_kill(lab: Lab) -> None:
    with lab.node("mn").popen(
        ["sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.stdout.read() == b""  # nobody has its standard output open any more


def test_the_terminal_is_the_commands(lab: Lab) -> None:
    argv = command(lab, "sh", "-c", "tty; " + TRAP.format("INT"))
    child, terminal = pty.fork()
    if child == 0:
        os.execv(argv[0], argv)
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    assert b"/dev/pts/" in said
    os.write(terminal, b"\x03")  # the interrupt character: one signal for each process in front
    while True:
        try:
            more = os.read(terminal, 1000)
        except OSError:  # closed by the last process that had it
            break
        said += more
    assert said.count(b"caught") == 1
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    os.close(terminal)
