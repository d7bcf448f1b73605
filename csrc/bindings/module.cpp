#include <pybind11/pybind11.h>

#include "base/cpu_features.h"
#include "bindings/register.h"
#include "gguf/error.h"
#include "kernels/kernel_table.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = ENGINE_VERSION;
  py::register_exception<engine::gguf::MalformedFile>(m, "GgufError");
  py::register_exception<engine::UnsupportedModel>(m, "UnsupportedModelError");
  m.def("cpu_model", &engine::cpu_model);
  m.def("kernel_tables", [] {
    py::dict tables;
    for (const auto* table : engine::kernels::kernel_tables()) {
      tables[py::str(table->name.data(), table->name.size())] = table->unavailable();
    }
    return tables;
  });
  engine::bindings::register_gguf(m);
  engine::bindings::register_kernels(m);
  engine::bindings::register_model(m);
  engine::bindings::register_runtime(m);
}
