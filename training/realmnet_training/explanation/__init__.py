"""Where a model sees a label."""
