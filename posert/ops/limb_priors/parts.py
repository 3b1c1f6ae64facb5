"""The body parts of the unseen-poses method."""

# CPM-14 joints of each part: head, right upper arm, right lower arm, left upper arm, left lower arm, right upper leg, right lower
# leg, left upper leg, left lower leg, torso. The torso lies between the middle of its first two joints, the shoulders, and the
# middle of its last two, the hips.
UNSEEN_PARTS: tuple[tuple[int, ...], ...] = (
    (0, 1),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (8, 9),
    (9, 10),
    (11, 12),
    (12, 13),
    (2, 5, 8, 11),
)

PART_NAMES = (
    "head",
    *("right upper arm", "right lower arm", "left upper arm", "left lower arm"),
    *("right upper leg", "right lower leg", "left upper leg", "left lower leg"),
    "torso",
)
