#pragma once

#include <pybind11/pybind11.h>

namespace engine::bindings::tests {

void register_kernels(pybind11::module_& m);
void register_recipes(pybind11::module_& m);
void register_runtime(pybind11::module_& m);

}  // namespace engine::bindings::tests
