"""C++ implementation of `part_masks`."""

from posert._native import part_masks

__all__ = ["part_masks"]
