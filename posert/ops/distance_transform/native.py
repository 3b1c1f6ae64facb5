"""C++ implementation of `distance_transform`."""

from posert._native import distance_transform

__all__ = ["distance_transform"]
