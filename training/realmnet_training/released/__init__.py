"""Checkpoints of the released code, read without running anything they contain."""
