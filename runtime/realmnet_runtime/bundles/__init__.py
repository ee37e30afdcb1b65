"""A bundle: its manifest, its files, writing one, the one that came with a package."""
