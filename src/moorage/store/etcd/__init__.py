"""The binding store on an etcd cluster, for routers on more than one machine."""

from __future__ import annotations

from moorage.store.etcd.store import EtcdStore

__all__ = ["EtcdStore"]
