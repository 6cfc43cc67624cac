"""Export: a fitted module becomes a checked, self-contained ONNX file."""
