"""Which images are trained on, developed on and tested."""
