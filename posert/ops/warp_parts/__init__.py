"""Body parts cut out of a picture and moved to where another pose has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation


def warp_parts(
    image: NDArray[np.float32],
    masks: NDArray[np.float32],
    transforms: ArrayLike,
    *,
    visible_above: float = 1e-6,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Warp ``masks[:, p] * image`` by ``transforms[:, p]`` for every part p, and stack the results.

    Pixel (x, y) of a layer is the masked image at ``transforms[n, p] @ (x, y, 1)``, bilinear. Beyond the frame the masked image
    is continued by its second outermost row or column (one pixel of reflection, repeated without end). The identity gives
    ``masks * image`` exactly.

    Mask values of `visible_above` or less count as 0. A softmax is never exactly 0, so this is what lets a warp skip the
    pixels that a part does not touch. It changes a layer by at most `visible_above` times the largest image value: for images in
    [-1, 1] and the default by a tenth of the 1e-5 to which backends agree. Where mask, image or their product is NaN or infinite,
    the masked image counts as 0. The values of CUDA tensors are not checked: a transform that is not finite shows nothing, 0.

    The items of `image` and `masks` may lie apart or coincide without being copied: ``masks[:, 1:]``, or
    ``np.broadcast_to(image, (poses, C, H, W))`` for one picture in many poses.

    Args:
        image: float32 (N, C, H, W), any range, C at least 1.
        masks: float32 (N, P, H, W), such as `part_masks` gives.
        transforms: (N, P, 2, 3), finite: from (x, y, 1) of a layer to (x, y) of the image, in pixels, as from `part_transforms`.
        visible_above: a number of at least 0; 0 gives the definition of the paper's code to the letter.
        out: float32 (N, P, C, H, W) to write into; its last four dimensions must be packed.
        backend: "native", "triton", "reference" or None (the fastest for the inputs).

    Returns:
        float32 (N, P, C, H, W).

    Raises:
        InputError: wrong shapes or dtypes, a transform with NaN or infinite values, no pixels or 2^31 of them.

    Source: specs unseen_poses, K7. Backends agree to 1e-5 on images in [-1, 1] and masks in [0, 1].
    """
    pictures = _check.array(image, "image", np.float32, (None, None, None, None), "(N, C, H, W)", packed_dims=3)
    if 0 in pictures.shape[1:]:
        raise InputError(f"image must hold channels and pixels, got shape {pictures.shape}")
    count, channels, height, width = pictures.shape
    if (height + 4) * (width + 4) > _check.MAX_PIXELS:  # with their border, pixels are numbered in 32 bits
        raise InputError(f"image must hold at most {_check.MAX_PIXELS} pixels with a border of 2, got {height} x {width}")
    layers = _check.array(
        masks, "masks", np.float32, (count, None, height, width), f"(N, P, H, W) = ({count}, P, {height}, {width})", packed_dims=3
    )
    parts = layers.shape[1]
    matrices = _check.numbers(transforms, "transforms", "(N, P, 2, 3)")
    finite = not isinstance(matrices, np.ndarray) or bool(np.isfinite(matrices).all())
    if matrices.shape != (count, parts, 2, 3) or not finite:
        raise InputError(
            f"transforms must be finite numbers of shape (N, P, 2, 3) = ({count}, {parts}, 2, 3), "
            f"got shape {matrices.shape}{'' if finite else ' with NaN or infinite values'}"
        )
    threshold = _check.real(visible_above, "visible_above")
    if threshold < 0:
        raise InputError(f"visible_above must be at least 0, got {threshold}")
    out = _check.output(out, (count, parts, channels, height, width), np.float32, pictures, layers, matrices)
    implementation("warp_parts", backend, pictures, layers, matrices).warp_parts(pictures, layers, matrices, threshold, out)
    return out
