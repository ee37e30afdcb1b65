"""From a checkpoint to a bundle: export, quantisation, parity, release."""

from realmnet_runtime.backends import silence_onnxruntime

# Before any module here imports it.
silence_onnxruntime()
