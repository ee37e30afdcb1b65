"""Post-training quantisation of the ONNX file: INT8 that both engines compute as integers."""
