"""The binding store on an etcd cluster, for routers on more than one machine."""

from __future__ import annotations

import os

# Else gRPC writes what it thinks of a connection to our standard error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from moorage.store.etcd.store import EtcdStore

__all__ = ["EtcdStore"]
