"""From a checkpoint to a bundle of variants, step by step, in a folder that explains itself."""
