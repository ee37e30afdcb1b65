"""A model over a table: answers, operating points, score tables."""
