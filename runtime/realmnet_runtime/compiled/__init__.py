"""A variant in its engine, compiled once and kept."""
