"""Structural dissimilarity as a loss: 1 - SSIM (Wang et al., IEEE TIP 2004), with the window that it is measured with."""

from __future__ import annotations

from torch import Tensor

from posert.errors import MissingDependency


def structural_loss(made: Tensor, real: Tensor) -> Tensor:
    """1 - SSIM of pictures (N, 3, H, W) in [-1, 1]: uniform 7 x 7 window, per channel (specs R-7); a scalar in [0, 2].

    Raises:
        MissingDependency: torchmetrics is not installed.
    """
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise MissingDependency('a loss on structure needs torchmetrics: pip install "posert[fid]"') from error
    pictures = ((image.float() + 1) / 2 for image in (made, real))
    similarity = structural_similarity_index_measure(*pictures, gaussian_kernel=False, kernel_size=7, data_range=1.0)
    result: Tensor = 1 - similarity
    return result
