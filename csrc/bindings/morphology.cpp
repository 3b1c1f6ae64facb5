// Morphology of masks.

#include "morphology.hpp"

#include "bindings/arrays.hpp"

namespace posert::bindings {
namespace {

void morphology(posert::Morphology operation, const py::array& mask, std::int64_t size, const py::array& out) {
    const auto from = view<const std::uint8_t>(mask, "mask", 3, 1);
    const auto to = view<std::uint8_t>(out, "out", 3, 1, true);
    need_shape("out", to.shape, from.shape);
    need_odd("size", size);
    const posert::MorphologyImages images{from.data,     from.strides[0], to.data,      to.strides[0],
                                          from.shape[0], from.shape[1],   from.shape[2]};
    const py::gil_scoped_release release;
    posert::morphology(operation, images, size);
}

}  // namespace

void bind_morphology(py::module_& module) {
    py::enum_<posert::Morphology>(module, "Morphology")
        .value("DILATE", posert::Morphology::kDilate)
        .value("ERODE", posert::Morphology::kErode)
        .value("OPENING", posert::Morphology::kOpening)
        .value("CLOSING", posert::Morphology::kClosing);
    module.def("morphology", &morphology);
}

}  // namespace posert::bindings
