"""From trained weights to engines: ONNX export, parity gates, and the command `build_engines.py`. Not part of the wheel."""
