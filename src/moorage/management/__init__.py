"""Looking inside a running daemon: HTTP/JSON on a unix socket, events as they happen, metrics."""
