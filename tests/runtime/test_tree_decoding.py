"""Max-sum over a tree of parts finds what trying every body finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from posert.errors import InputError
from posert.skeleton import get_skeleton
from posert.tree_decoding import cells_to_pixels, decode_tree, find_in_pyramid, pyramid_scales, round_offsets
from posert.trees import TREES, Tree, get_tree

FOUR = Tree("four", ("a", "b", "c", "d"), (-1, 0, 0, 1), tuple(((name, 1.0),) for name in "abcd"))


def best_body(probabilities: np.ndarray, tree: Tree, offsets: np.ndarray, weight: float) -> tuple[float, list[int]]:
    """Try all cells of all parts: the best sum, and the cells, counted row by row."""
    parts, types = offsets.shape[:2]
    height, width = probabilities.shape[-2:]
    own = probabilities[: parts * types].reshape(parts, types, -1).astype(np.float64)
    y, x = np.divmod(np.arange(height * width), width)
    pairs = {}  # for each part but the root: [parent's cell, own cell]
    for k in range(1, parts):
        dx = x - x[:, None] - offsets[k, :, 0, None, None]
        dy = y - y[:, None] - offsets[k, :, 1, None, None]
        pairs[k] = (own[k, :, None] - weight * (dx**2 + dy**2)).max(0)
    root = own[0].max(0)
    best = max(
        itertools.product(range(height * width), repeat=parts),
        key=lambda cells: root[cells[0]] + sum(pairs[k][cells[tree.parents[k]], cells[k]] for k in pairs),
    )
    return root[best[0]] + sum(pairs[k][best[tree.parents[k]], best[k]] for k in pairs), list(best)


@pytest.mark.parametrize("types", [1, 2])
@pytest.mark.parametrize("background", [0, 1])
def test_agrees_with_trying_everything(types: int, background: int) -> None:
    rng = np.random.default_rng(types)
    probabilities = rng.random((3, 4 * types + background, 3, 4), np.float32)
    offsets = rng.uniform(-2, 2, (4, types, 2))
    for weight in (0.03, 0.5):
        match = decode_tree(probabilities, FOUR, offsets, weight=weight)
        for n in range(3):
            score, cells = best_body(probabilities[n], FOUR, offsets, weight)
            assert match.scores[n] == pytest.approx(score, abs=1e-5)
            assert (match.cells[n, :, 1] * 4 + match.cells[n, :, 0]).tolist() == cells


def test_types_are_named_by_where_they_point() -> None:
    """A forearm to the right and one to the left: the type tells which of two equal wrists was meant."""
    probabilities = np.zeros((1, 8, 9, 21), np.float32)
    probabilities[0, 0, 4, 10] = probabilities[0, 2, 4, 10] = 1  # the root and b, of their first types
    probabilities[0, 6, 4, 3] = probabilities[0, 7, 4, 15] = 0.9  # d of type 0 on the left, of type 1 on the right
    offsets = np.zeros((4, 2, 2))
    offsets[3] = [(-7, 0), (7, 0)]
    match = decode_tree(probabilities, FOUR, offsets)
    assert match.cells[0, 3].tolist() == [3, 4], "the left one lies where its type is expected"
    assert match.mixtures[0, 3] == 0
    offsets[3] = [(-3, 0), (5, 0)]
    match = decode_tree(probabilities, FOUR, offsets)
    assert match.cells[0, 3].tolist() == [15, 4]
    assert match.mixtures[0, 3] == 1
    assert match.probabilities[0].tolist() == pytest.approx([1, 1, 0, 0.9])


def test_whole_body_of_the_released_model() -> None:
    rng = np.random.default_rng(0)
    tree = get_tree("lsp26")
    offsets = round_offsets(rng.uniform(-4, 4, (26, 13, 2)))
    probabilities = 0.1 * rng.random((2, 339, 42, 42), np.float32)
    cells = np.empty((26, 2), int)
    for k, parent in enumerate(tree.parents):
        cells[k] = (20, 20) if k == 0 else np.clip(cells[parent] + offsets[k, 5], 0, 41)
        probabilities[:, k * 13 + 5, cells[k, 1], cells[k, 0]] = 1
    match = decode_tree(probabilities, tree, offsets)
    np.testing.assert_array_equal(match.cells, np.stack([cells, cells]))
    assert (match.mixtures[:, 1:] == 5).all()


def test_unusable_input_is_refused() -> None:
    good, offsets = np.zeros((1, 4, 3, 3), np.float32), np.zeros((4, 1, 2))
    for bad, message in ((good[:, :3], "shape"), (good.astype(np.float64), "float32"), (good[..., :0], "cells")):
        with pytest.raises(InputError, match=message):
            decode_tree(bad, FOUR, offsets)
    with pytest.raises(InputError, match="NaN"):
        decode_tree(np.full_like(good, np.nan), FOUR, offsets)
    with pytest.raises(InputError, match="offsets"):
        decode_tree(good, FOUR, offsets[:3])
    with pytest.raises(InputError, match="unknown tree"):
        decode_tree(good, "oak", offsets)
    with pytest.raises(InputError, match="profile"):
        cells_to_pixels((1, 1), profile="guess")
    with pytest.raises(InputError, match="scale"):
        cells_to_pixels((1, 1), 0)
    assert len(decode_tree(good[:0], FOUR, offsets).scores) == 0


def test_places_of_cells() -> None:
    assert cells_to_pixels((2, 5)).tolist() == [19, 43]
    assert cells_to_pixels((2, 5), 0.5).tolist() == [38, 86]
    assert cells_to_pixels((2, 5), 0.5, "official").tolist() == [31.5, 79.5]
    assert round_offsets([0.5, -0.5, -1.5, -2.5, 1.49]).tolist() == [1, 0, -2, -3, 1]


def test_pyramid() -> None:
    assert pyramid_scales(448, 500) == pytest.approx([2 ** (-i / 10) for i in range(10)])
    assert pyramid_scales(340, 230) == [1.0]
    assert pyramid_scales(700, 400)[0] == 0.8
    assert pyramid_scales(300, 200)[0] == pytest.approx(368 / 200)


def test_finds_a_bright_spot_at_any_scale() -> None:
    """A network that calls every part the brightest cell: the answer is the spot, seen at the best scale."""
    image = np.zeros((400, 460, 3), np.uint8)
    image[192:216, 296:320] = 255
    seen = []

    def network(view: np.ndarray) -> np.ndarray:
        seen.append(view.shape)
        assert view.shape[0:2] == (1, 3)
        cells = (view[0, 0] + 128).reshape(view.shape[2] // 8, 8, view.shape[3] // 8, 8).mean((1, 3)) / 255
        return np.broadcast_to(cells.astype(np.float32), (1, 4, *cells.shape)).copy()

    found = find_in_pyramid(image, network, FOUR, np.zeros((4, 1, 2)))
    assert len({shape[2] for shape in seen}) > 5
    assert np.abs(found[:, :2] - (307.5, 203.5)).max() < 12, "inside the spot"
    assert (found[:, 2] > 0.95).all()
    official = find_in_pyramid(image, network, FOUR, np.zeros((4, 1, 2)), profile="official")
    assert (found[:, :2] - official[:, :2] == 3.5).all(), "the best level is the whole image"
    with pytest.raises(InputError, match="profile"):
        find_in_pyramid(image, network, FOUR, np.zeros((4, 1, 2)), profile="guess")


@pytest.mark.parametrize(
    ("name", "parents"),
    [
        ("lsp26", "0 1 2 3 4 5 6 3 8 9 10 11 12 13 2 15 16 17 18 15 20 21 22 23 24 25"),
        ("lsp14", "0 1 2 3 4 3 6 7 2 9 10 9 12 13"),
        ("flic18", "0 1 2 3 4 5 6 3 8 9 2 11 12 13 14 11 16 17"),
    ],
)
def test_trees_of_the_paper(name: str, parents: str) -> None:
    """Parents, counted from 1, of specs structured_features, 3."""
    tree = TREES[name]
    assert [parent + 1 for parent in tree.parents] == [int(parent) for parent in parents.split()]
    assert sorted(k for level in tree.levels for k in level) == list(range(len(tree)))
    if name == "lsp26":
        assert [k + 1 for k in tree.joints.values()] == [1, 2, 3, 5, 7, 10, 12, 14, 15, 17, 19, 22, 24, 26]
        assert [len(level) for level in tree.levels] == [1, 1, 2, 4, 4, 4, 4, 2, 2, 2]


def test_parts_between_joints() -> None:
    rng = np.random.default_rng(0)
    skeleton = get_skeleton("cpm14")
    keypoints = np.concatenate([rng.uniform(0, 100, (2, 14, 2)), np.ones((2, 14, 1))], -1).astype(np.float32)
    keypoints[1, skeleton.joints.index("left_elbow")] = (np.nan, np.nan, 0)
    tree = get_tree("lsp26")
    parts = tree.locate(keypoints, "cpm14")

    def joint(name: str) -> np.ndarray:
        return keypoints[0, skeleton.joints.index(name), :2]

    for part, expected in {
        "left_upper_arm": (joint("left_shoulder") + joint("left_elbow")) / 2,
        "right_lower_side": (joint("right_shoulder") + 2 * joint("right_hip")) / 3,
        "right_upper_side": (2 * joint("right_shoulder") + joint("right_hip")) / 3,
        "right_shin": (joint("right_knee") + joint("right_ankle")) / 2,
    }.items():
        np.testing.assert_allclose(parts[0, tree.parts.index(part), :2], expected, rtol=1e-5)
    missing = [tree.parts[k] for k in np.flatnonzero(parts[1, :, 2] == 0)]
    assert missing == ["left_upper_arm", "left_elbow", "left_forearm"]
    with pytest.raises(InputError, match="nose"):
        get_tree("flic18").locate(keypoints, "cpm14")
    with pytest.raises(InputError, match="shape"):
        tree.locate(keypoints[:, :13], "cpm14")
    with pytest.raises(InputError, match="before its children"):
        Tree("knot", ("a", "b"), (-1, 1), ((("a", 1.0),), (("b", 1.0),)))
