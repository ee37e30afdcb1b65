"""Edits of exported ONNX graphs."""
