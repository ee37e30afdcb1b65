"""From a checkpoint to a bundle: export, quantisation, parity, release."""
