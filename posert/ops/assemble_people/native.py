"""C++ implementation of `assemble_people`."""

from posert._native import assemble_people

__all__ = ["assemble_people"]
