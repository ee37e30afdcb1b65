"""Whether two forms of a model answer alike: checkpoint, ONNX file, variant of a bundle."""
