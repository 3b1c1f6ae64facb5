"""C++ implementation of `pose_mask`."""

from posert._native import pose_mask

__all__ = ["pose_mask"]
