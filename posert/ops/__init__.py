"""Image and keypoint kernels: NumPy arrays in, NumPy arrays out; CUDA tensors in, CUDA tensors out.

Every operation takes ``out=None`` (write into an array of yours) and ``backend=None`` (``"native"``, the C++ kernels,
``"triton"``, the GPU's, or ``"reference"``, the NumPy definition in float64; None takes the fastest that can run; `explain` says
which and why). x points right and y down, pixel centres are at integers, and a keypoint with a NaN coordinate or a score of 0 or
less is missing and skipped.

**On a GPU.** Where an argument lies in CUDA memory (a torch tensor, or anything that speaks DLPack), the Triton kernel runs
on the current stream of torch, reads and writes it there, and the result is a torch tensor; other arguments may stay NumPy
arrays and are copied to it. Pictures and maps may be float16 wherever float32 is named, as inputs and as `out`. The host does
not wait, so nobody looks at a tensor's values: what is refused in a NumPy array is treated as missing, or as the operation
says. After one call, which compiles the kernel, a call with tensors can be captured in a CUDA graph. A NumPy array with
``backend="triton"`` takes the way through the GPU's memory and back.
"""

from posert.ops._dispatch import explain
from posert.ops._threads import get_num_threads, set_num_threads
from posert.ops.assemble_people import PAF_ORDER, PAF_REDUNDANT, assemble_people
from posert.ops.composite import composite
from posert.ops.crop_resize import crop_resize
from posert.ops.decode_heatmaps import decode_heatmaps
from posert.ops.distance_transform import distance_transform
from posert.ops.find_peaks import find_peaks
from posert.ops.limb_priors import limb_priors
from posert.ops.limb_priors.parts import UNSEEN_PARTS
from posert.ops.limb_scores import limb_scores
from posert.ops.morphology import closing, dilate, erode, opening
from posert.ops.part_masks import part_masks
from posert.ops.part_transforms import part_transforms
from posert.ops.pose_mask import PG2_LIMBS, pose_mask
from posert.ops.rasterize_discs import rasterize_discs
from posert.ops.rasterize_gaussians import rasterize_gaussians
from posert.ops.rasterize_pafs import PAF_LIMBS, rasterize_pafs
from posert.ops.to_uint8 import to_uint8
from posert.ops.warp_parts import warp_parts

__all__ = [
    "PAF_LIMBS",
    "PAF_ORDER",
    "PAF_REDUNDANT",
    "PG2_LIMBS",
    "UNSEEN_PARTS",
    "assemble_people",
    "closing",
    "composite",
    "crop_resize",
    "decode_heatmaps",
    "dilate",
    "distance_transform",
    "erode",
    "explain",
    "find_peaks",
    "get_num_threads",
    "limb_priors",
    "limb_scores",
    "opening",
    "part_masks",
    "part_transforms",
    "pose_mask",
    "rasterize_discs",
    "rasterize_gaussians",
    "rasterize_pafs",
    "set_num_threads",
    "to_uint8",
    "warp_parts",
]
