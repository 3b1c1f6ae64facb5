// The threads that the kernels use, and the machine as they see it.

#include "threads.hpp"

#include "bindings/arrays.hpp"
#include "cpus.hpp"

namespace posert::bindings {

void bind_threads(py::module_& module) {
    module.def("set_num_threads", &posert::set_num_threads);
    module.def("get_num_threads", &posert::get_num_threads);
    module.def("available_cpus", &posert::available_cpus, py::arg("root") = "");
    module.def("quota_cpus", &posert::quota_cpus, py::arg("root") = "");
    module.def("instruction_set", &posert::instruction_set);
}

}  // namespace posert::bindings
