// The Python module posert._native: NumPy arrays in, kernels without the GIL.

#include "bindings/arrays.hpp"

PYBIND11_MODULE(_native, module) {
    module.doc() = "C++ kernels of posert; use posert.ops, which checks its arguments.";
    posert::bindings::bind_heatmaps(module);
    posert::bindings::bind_images(module);
    posert::bindings::bind_keypoints(module);
    posert::bindings::bind_layers(module);
    posert::bindings::bind_morphology(module);
    posert::bindings::bind_people(module);
    posert::bindings::bind_threads(module);
}
