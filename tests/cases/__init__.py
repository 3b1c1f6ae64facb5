"""One table of inputs for every operation of `posert.ops`: equivalence, hygiene and error tests all read it.

A new operation or backend gets those tests by a line here. One case of every operation is called "many": large enough for
several threads, which test_threads.py asserts.
"""

from cases import heatmaps, images, keypoints, layers, morphology, people
from cases.case import Arguments, Case, call

CASES: list[Case] = [*images.CASES, *keypoints.CASES, *morphology.CASES, *heatmaps.CASES, *layers.CASES, *people.CASES]

__all__ = ["CASES", "Arguments", "Case", "call"]
