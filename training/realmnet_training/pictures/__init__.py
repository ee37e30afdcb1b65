"""From image files to the batches one process sees."""
