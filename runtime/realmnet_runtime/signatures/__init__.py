"""Whose bundles are opened: keys, signatures, trust."""
