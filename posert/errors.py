"""Every error that posert raises on purpose.

A message says what was given, what is needed and what to do. All classes derive from `PosertError`, so one `except` catches them.
"""


class PosertError(Exception):
    """Base class of all errors that posert raises on purpose."""


class InputError(PosertError, ValueError):
    """An argument cannot be used: wrong shape, dtype or range, an unreadable image, an unknown name."""


class SwappedAxesError(InputError):
    """A file of poses has x where y belongs."""


class UnscaledKeypointsError(InputError):
    """A file of poses has coordinates as shares of the picture's sides, where pixels are needed."""


class OutOfFrameError(InputError):
    """A file of poses has people outside of their pictures."""


class BundleError(PosertError):
    """A `.posert` file is damaged, incomplete or of another version."""


class NoVariantError(PosertError):
    """No variant of a bundle can run on this machine with the choices that were made."""


class BackendError(PosertError):
    """Something about a backend (ONNX Runtime, TensorRT, ...) went wrong; see the subclasses."""


class MissingDependency(BackendError):
    """A package, driver or device that an explicit choice needs is not there."""


class BuildError(BackendError):
    """A compiled variant could not be built from its ONNX file, or did not pass its parity gate."""


class PlanError(BackendError):
    """A compiled plan cannot run here: it is damaged, or for another GPU, version or system."""


class ExecutionError(BackendError):
    """A network could not be run although its input was valid."""


class GpuMemoryError(ExecutionError):
    """The GPU has too little memory left."""
