"""C++ implementation of `rasterize_pafs`."""

from posert._native import rasterize_pafs

__all__ = ["rasterize_pafs"]
