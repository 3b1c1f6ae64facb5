"""C++ implementation of `rasterize_discs`."""

from posert._native import rasterize_discs

__all__ = ["rasterize_discs"]
