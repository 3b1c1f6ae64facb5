"""C++ implementation of `to_uint8`."""

from posert._native import to_uint8

__all__ = ["to_uint8"]
