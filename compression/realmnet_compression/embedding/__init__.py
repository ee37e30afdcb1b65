"""A bundle's variant as one file that takes decoded pixels, for programs without Python."""
