"""C++ implementation of `limb_scores`."""

from posert._native import limb_scores

__all__ = ["limb_scores"]
