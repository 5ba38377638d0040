"""What this machine can do for Moorage: every feature of the kernel that we need, tried once."""
