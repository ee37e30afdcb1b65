"""Devices: what a machine is, as far as it decides how a bundle runs on it."""
