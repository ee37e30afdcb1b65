"""Torch-free runtime of RealMNet bundles."""
