"""Somebody who asks for addresses: another user, another program, in another control group.

Run as ``python caller.py UID GID TYPE...``, in a control group if standard input is its list of
processes. It opens a socket for each TYPE (``default``: none is named; with a ``+``: ON_NET), asks
for its address and writes that, or the reason why there is none; it holds the sockets until it is
told to end.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

import moorage


def main(uid: int, gid: int, wanted: list[str]) -> None:
    """Become this user, ask and wait."""
    sockets = []
    if os.path.basename(os.readlink("/proc/self/fd/0")) == "cgroup.procs":
        os.write(0, b"0")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for name in wanted:
        slug, on_net, _ = name.partition("+")
        kind = None if slug == "default" else moorage.ServiceType.from_slug(slug)
        sockets.append(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
        try:
            print(moorage.setsc(sockets[-1], kind, on_net=bool(on_net)), flush=True)
        except moorage.SetscError as error:
            print(error.reason.name, flush=True)
    print(flush=True)
    signal.pause()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
