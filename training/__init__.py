"""Training of posert's models: data sets, losses, loops, metrics. Not part of the wheel; run as ``python -m training.<name>``."""
