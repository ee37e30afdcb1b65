"""Findings drawn on a picture."""
