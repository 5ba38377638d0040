"""Runs a command inside the namespaces of a node, as if it had been started there directly.

The command keeps the terminal, the session and the open files of the caller. It gets a process of
its own inside (a process cannot change its own PID namespace); the process outside passes signals
on, ends as the command ended, and takes the command with it when it is killed.

This module needs nothing but the standard library, so that it also runs as a script in an
interpreter that has not searched for packages: ``python -I -S enter.py FD,FD... COMMAND ARG...``.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4

_FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)

libc: Final = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise the OSError that a C function reported by a negative ``result``."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def setns(namespace: int) -> None:
    """Move the calling thread into the namespace behind a file descriptor, of whatever kind."""
    check(libc.setns(namespace, 0), "setns")


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, a pidfd opened before the fork, ends."""
    check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if select.select([parent], [], [], 0)[0]:  # it ended before the line above
        os._exit(1)
    os.close(parent)


def execute(argv: Sequence[str]) -> NoReturn:
    """Become the command; exit with 127 or 126, as shells do, where it cannot be run."""
    for inherited in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, not by its caller
        signal.signal(inherited, signal.SIG_DFL)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _pass_signals(child: int) -> int:
    """Pass signals on until the child ends; return its wait status."""
    while True:
        info = signal.sigwaitinfo({signal.SIGCHLD, *_FORWARDED})
        if info.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
        elif info.si_code <= 0:  # from a process; what the terminal sends has reached the child
            os.kill(child, info.si_signo)


def _join(namespaces: Sequence[int]) -> None:
    """Move this process into the namespaces; it keeps its folder if there is one of that name."""
    folder = os.getcwd()
    for namespace in namespaces:
        setns(namespace)
        os.close(namespace)
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")


def run(namespaces: Sequence[int], argv: Sequence[str]) -> NoReturn:
    """Run ``argv`` in the namespaces (file descriptors, in the order to join) and end like it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller may have ignored it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *_FORWARDED})
    try:
        _join(namespaces)
        parent = os.pidfd_open(os.getpid())
        child = os.fork()
    except OSError as error:  # such as ENOMEM, when the PID namespace has ended
        sys.exit(f"cannot enter the node: {error.strerror}")
    if child == 0:
        die_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        execute(argv)
    status = _pass_signals(child)
    if os.WIFSIGNALED(status):
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # the command has left its own core dump
        ending = os.WTERMSIG(status)
        if ending != signal.SIGKILL:
            signal.signal(ending, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), ending)
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    run([int(number) for number in sys.argv[1].split(",")], sys.argv[2:])
