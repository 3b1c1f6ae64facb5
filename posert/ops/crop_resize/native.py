"""C++ implementation of `crop_resize`."""

from posert._native import crop_resize

__all__ = ["crop_resize"]
