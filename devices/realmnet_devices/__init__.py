"""Target machines, and what this machine is."""
