#include <pybind11/pybind11.h>

#include "bindings/tests/register.h"

// What tests and benchmarks alone call. Its copy of the core's code holds no state that changes.
PYBIND11_MODULE(_core_tests, m) {
  pybind11::module_::import("engine._core");  // whose types and exceptions are used here
  engine::bindings::tests::register_kernels(m);
  engine::bindings::tests::register_recipes(m);
  engine::bindings::tests::register_runtime(m);
}
