"""Codecs: bytes to frozen dataclasses and back, without any input or output."""
