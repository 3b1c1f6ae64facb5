"""C++ implementation of `composite`."""

from posert._native import composite

__all__ = ["composite"]
