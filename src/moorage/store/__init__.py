"""The binding store: who holds which prefix, who anchors it, who serves it now."""
