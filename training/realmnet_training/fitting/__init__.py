"""One run: steps, what is kept of it, what it says, and what may break it."""
