"""`TimingCache`: how long kernels took on this GPU, which TensorRT finds out in one build and need not in the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posert.builders.cache import PlanCache, digest


class TimingCache:
    """The times of earlier builds, lent to a build and kept after it. They may be lost at any time."""

    def __init__(self, cache: PlanCache, target: Mapping[str, Any]) -> None:
        """Kept in a cache under the name of a vendor's target: times of another version or GPU are of no use."""
        self._cache, self._name = cache, f"timings-{digest(target)}"
        self._lent: Any = None

    def lend(self, config: Any) -> None:
        """Give a configuration what is kept; an empty one, where nothing is or the vendor does not take it."""
        self._lent = config.create_timing_cache(self._cache.load(self._name))
        if self._lent is None or not config.set_timing_cache(self._lent, ignore_mismatch=False):
            self._lent = config.create_timing_cache(b"")
            config.set_timing_cache(self._lent, ignore_mismatch=False)

    def keep(self, config: Any) -> None:
        """Keep what a configuration has now."""
        timings = config.get_timing_cache()
        if timings is not None:
            self._cache.store(self._name, bytes(timings.serialize()))
