#pragma once

#include <pybind11/pybind11.h>

namespace engine::bindings {

void register_gguf(pybind11::module_& m);
void register_kernels(pybind11::module_& m);
void register_model(pybind11::module_& m);
void register_runtime(pybind11::module_& m);

}  // namespace engine::bindings
