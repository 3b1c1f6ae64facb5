"""C++ implementation of `find_peaks`."""

from posert._native import find_peaks

__all__ = ["find_peaks"]
