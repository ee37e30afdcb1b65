"""A hospital's tables and images: read, checked and prepared."""
