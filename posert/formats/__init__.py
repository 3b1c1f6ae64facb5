"""Poses in files: COCO keypoint JSON and OpenPose JSON."""

from posert.formats.coco import ImageInfo, coco_document, read_coco
from posert.formats.openpose import openpose_document, read_openpose
from posert.formats.reading import best_person, read_poses, write_json

__all__ = [
    "ImageInfo",
    "best_person",
    "coco_document",
    "openpose_document",
    "read_coco",
    "read_openpose",
    "read_poses",
    "write_json",
]
