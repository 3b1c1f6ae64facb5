"""C++ implementation of `warp_parts`."""

from posert._native import warp_parts

__all__ = ["warp_parts"]
