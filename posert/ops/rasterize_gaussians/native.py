"""C++ implementation of `rasterize_gaussians`."""

from posert._native import rasterize_gaussians

__all__ = ["rasterize_gaussians"]
