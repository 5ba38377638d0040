"""Linux namespaces: enough to be root in one of our own, and to have a node's network and files.

No namespace gets a name in the file system: each lives as long as the file descriptors and the
processes that hold it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from moorage.lab.enter import check, libc, setns
from moorage.lab.errors import LabError

NEW_MOUNT: Final = 0x00020000
NEW_USER: Final = 0x10000000
NEW_PID: Final = 0x20000000
NEW_NETWORK: Final = 0x40000000

MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000

_CAP_SYS_ADMIN: Final = 21


def unshare(kinds: int) -> None:
    """Leave the namespaces of the given kinds for new ones."""
    check(libc.unshare(kinds), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0) -> None:
    """Call mount(2)."""
    check(
        libc.mount(source.encode(), target.encode(), kind.encode(), flags, None),
        f"mount {target}",
    )


def current(kind: str) -> int:
    """A file descriptor of the calling thread's namespace: ``net``, ``mnt``, ``pid``, ``user``."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int, home: int) -> Iterator[None]:
    """Be in ``namespace`` (file descriptor) for a while and come back to ``home``."""
    setns(namespace)
    try:
        yield
    finally:
        setns(home)


def become_root() -> None:
    """Make sure that this process may create namespaces.

    A process that may not moves into a new user namespace in which its user is root; files that it
    writes still belong to that user. This needs a process without other threads.

    Raises:
        LabError: the system does not let ordinary users do this.
    """
    if _effective_capabilities() >> _CAP_SYS_ADMIN & 1:
        return
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise LabError(
            f"a lab needs root or unprivileged user namespaces, which are not allowed here"
            f" ({error.strerror}): see the sysctls user.max_user_namespaces,"
            " kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
        ) from None


def real_user() -> int:
    """The user id of the caller outside the user namespace that `become_root` made."""
    first, outside, count = map(int, Path("/proc/self/uid_map").read_text().split()[:3])
    return outside + os.geteuid() - first if count == 1 else os.geteuid()


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise LabError("/proc/self/status does not list capabilities")
