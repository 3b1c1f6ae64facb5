"""C++ implementations of the morphology operations."""

import functools

from posert import _native

dilate = functools.partial(_native.morphology, _native.Morphology.DILATE)
erode = functools.partial(_native.morphology, _native.Morphology.ERODE)
opening = functools.partial(_native.morphology, _native.Morphology.OPENING)
closing = functools.partial(_native.morphology, _native.Morphology.CLOSING)
