"""Poses in files: COCO keypoint JSON, OpenPose JSON, MPII's annotations and the .csv files of PATN."""

from posert.formats.coco import ImageInfo, coco_document, read_coco
from posert.formats.openpose import openpose_document, read_openpose
from posert.formats.pose_files import PoseFile, read_pose_file
from posert.formats.reading import best_person, read_poses, write_json

__all__ = [
    "ImageInfo",
    "PoseFile",
    "best_person",
    "coco_document",
    "openpose_document",
    "read_coco",
    "read_openpose",
    "read_pose_file",
    "read_poses",
    "write_json",
]
