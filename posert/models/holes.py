"""Holes in pictures, where a person was cut out: made larger, and filled from around (specs unseen_poses, 9)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pull_push(image: Tensor, weight: Tensor) -> Tensor:
    """Fill the holes of pictures with means of what is around them, from near where that is known, else from farther away.

    Means of 2 x 2 pixels until one is left, then back, each level filling what the finer one lacks (Gortler et al., The
    Lumigraph, SIGGRAPH 1996, section 3.4).

    Args:
        image: (N, C, H, W), times its weight.
        weight: (N, 1, H, W): how much of each pixel is known, in [0, 1].

    Returns:
        (N, C, H, W): `image` where the weight is 1.
    """
    levels = [(image, weight)]
    while max(levels[-1][1].shape[2:]) > 1:
        image, weight = (functional.avg_pool2d(x, 2, ceil_mode=True) for x in levels[-1])
        known = (4 * weight).clamp(max=1)  # one of four pixels is enough
        levels.append((image * known / (weight + 1e-6), known))
    filled = levels.pop()[0]
    for image, weight in reversed(levels):
        coarser = functional.interpolate(filled, image.shape[2:], mode="bilinear", align_corners=False)
        filled = image + (1 - weight) * coarser
    return filled


def fill_hole(masked: Tensor, share: Tensor) -> Tensor:
    """Give a masked picture, by `pull_push`, what its mask took away.

    Only pixels that are background almost surely, by a share of more than 3/4, are spread; else what is left of the person would
    fill the hole.

    Args:
        masked: (N, 3, H, W): the picture times its background share.
        share: (N, 1, H, W), in [0, 1].
    """
    sure = surely_background(share)
    return masked + (1 - share) * pull_push(masked * sure / share.clamp(min=0.75), sure)


def grow_hole(masked: Tensor, pixels: int) -> Tensor:
    """A masked picture and its mask, (N, 4, H, W), whose hole reaches so many rows and columns farther."""
    picture, share = masked[:, :3], masked[:, 3:]
    less = 1 - around(1 - share, pixels)
    return torch.cat([picture * less / share.clamp(min=1e-3), less], 1)


def surely_background(share: Tensor) -> Tensor:
    """How sure a background share (N, 1, H, W) is: 0 up to 3/4, from there linearly to 1."""
    return (4 * share - 3).clamp(min=0)


def around(hole: Tensor, margin: int) -> Tensor:
    """A map (N, 1, H, W), each pixel the largest of those within `margin` rows and columns."""
    wide = functional.max_pool2d(hole, (1, 2 * margin + 1), 1, (0, margin))
    return functional.max_pool2d(wide, (2 * margin + 1, 1), 1, (margin, 0))
