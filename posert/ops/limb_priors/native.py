"""C++ implementation of `limb_priors`."""

from posert._native import limb_priors

__all__ = ["limb_priors"]
