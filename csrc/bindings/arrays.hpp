// What the bindings share: NumPy arrays as pointers, shapes and strides. The public functions of posert.ops check what
// users pass; the checks here keep a mistake in posert itself from reading or writing outside an array.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace posert::bindings {

namespace py = pybind11;

// What the kernels' own arithmetic takes without overflow; posert.ops is stricter.
constexpr std::int64_t kMaxRadius = 1 << 20, kMaxStride = 1 << 20;

// An array's memory; strides in elements. Dimensions from `packed_from` on follow each other without gaps.
template <typename T>
struct View {
    T* data;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
};

[[noreturn]] inline void refuse(const char* name, const std::string& why) {
    throw std::invalid_argument(std::string(name) + ": " + why);
}

template <typename T>
View<T> view(const py::array& array, const char* name, py::ssize_t dims, py::ssize_t packed_from,
             bool writable = false) {
    using Element = std::remove_const_t<T>;
    if (!py::isinstance<py::array_t<Element>>(array)) refuse(name, "wrong dtype");
    if (array.ndim() != dims) refuse(name, "needs " + std::to_string(dims) + " dimensions");
    if (writable && !array.writeable()) refuse(name, "is read-only");
    View<T> result{const_cast<T*>(static_cast<const T*>(array.data())), {}, {}};
    if (array.size() > 0 && reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0)
        refuse(name, "is not aligned");
    const auto bytes = static_cast<std::int64_t>(sizeof(T));
    for (py::ssize_t d = 0; d < dims; ++d) {
        result.shape.push_back(array.shape(d));
        result.strides.push_back(array.strides(d) / bytes);
        if (array.shape(d) > 1 && array.strides(d) % bytes != 0) refuse(name, "is not aligned");
    }
    std::int64_t step = 1;
    for (py::ssize_t d = dims - 1; d >= packed_from && array.size() > 0; --d) {
        const auto at = static_cast<std::size_t>(d);
        if (result.shape[at] > 1 && result.strides[at] != step) refuse(name, "is not packed");
        step *= result.shape[at];
    }
    return result;
}

inline void need_shape(const char* name, const std::vector<std::int64_t>& shape,
                       const std::vector<std::int64_t>& wanted) {
    if (shape != wanted) refuse(name, "wrong shape");
}

inline void need_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) refuse(name, "out of range");
}

// The side of a square that has a centre.
inline void need_odd(const char* name, std::int64_t side) {
    if (side < 1 || side % 2 == 0) refuse(name, "is not odd and positive");
}

// Each adds the functions of one file to the module.
void bind_heatmaps(py::module_& module);
void bind_images(py::module_& module);
void bind_keypoints(py::module_& module);
void bind_layers(py::module_& module);
void bind_morphology(py::module_& module);
void bind_people(py::module_& module);
void bind_threads(py::module_& module);

}  // namespace posert::bindings
