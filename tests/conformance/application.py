"""An application that opens its connection anew when its address is gone (draft section 4.2).

Where nobody gives it an address by its type, it connects without (draft section 5.1).

Run as ``python application.py TYPE ADDRESS PORT``, it writes each source address that it gets, and
the name of each error that makes it open the connection anew; it ends when the peer hangs up.
"""

from __future__ import annotations

import errno
import socket
import sys

import moorage


def connect(service: moorage.ServiceType, peer: tuple[str, int]) -> socket.socket:
    """Return a connection, from an address of this type if there are such."""
    try:
        return moorage.create_connection(peer, service)
    except moorage.RequiredIPNotSupported:
        return socket.create_connection(peer)


def main(service: moorage.ServiceType, peer: tuple[str, int]) -> None:
    """Read until the peer hangs up."""
    while True:
        with connect(service, peer) as connection:
            print(connection.getsockname()[0], flush=True)
            try:
                while connection.recv(100):
                    pass
                return
            except OSError as error:
                print(errno.errorcode[error.errno or 0], flush=True)


if __name__ == "__main__":
    main(moorage.ServiceType.from_slug(sys.argv[1]), (sys.argv[2], int(sys.argv[3])))
