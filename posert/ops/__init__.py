"""Image and keypoint kernels: NumPy arrays in, NumPy arrays out.

Every operation takes ``out=None`` (write into an array of yours) and ``backend=None`` (``"native"``, the C++ kernels, or
``"reference"``, the NumPy definition in float64; None takes the fastest that can run). x points right and y down, pixel centres
are at integers, and a keypoint with a NaN coordinate or a score of 0 or less is missing and skipped.
"""

from posert.ops._dispatch import explain
from posert.ops._threads import get_num_threads, set_num_threads
from posert.ops.crop_resize import crop_resize
from posert.ops.decode_heatmaps import decode_heatmaps
from posert.ops.morphology import closing, dilate, erode, opening
from posert.ops.pose_mask import PG2_LIMBS, pose_mask
from posert.ops.rasterize_discs import rasterize_discs
from posert.ops.rasterize_gaussians import rasterize_gaussians
from posert.ops.to_uint8 import to_uint8

__all__ = [
    "PG2_LIMBS",
    "closing",
    "crop_resize",
    "decode_heatmaps",
    "dilate",
    "erode",
    "explain",
    "get_num_threads",
    "opening",
    "pose_mask",
    "rasterize_discs",
    "rasterize_gaussians",
    "set_num_threads",
    "to_uint8",
]
