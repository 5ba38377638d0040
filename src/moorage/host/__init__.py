"""The host daemon: the draft's *IP stack* of a mobile host."""
