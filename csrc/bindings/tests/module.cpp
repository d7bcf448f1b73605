#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "bindings/arguments.h"
#include "bindings/register.h"

namespace py = pybind11;

namespace {

using namespace engine;
using Named = std::tuple<std::string, std::string, std::vector<std::uint64_t>>;  // name, type, shape as TensorInfo's

// Target types by name; tensors may come in any order.
std::map<std::string, std::string_view> target_types(const std::string& recipe, const std::string& architecture,
                                                     std::size_t layers, std::size_t experts, std::size_t heads,
                                                     std::size_t kv_heads, std::vector<Named> named, bool important) {
  std::vector<quant::RecipeTensor> tensors;
  tensors.reserve(named.size());
  for (auto& [name, type, shape] : named) {
    std::ranges::reverse(shape);
    tensors.push_back({name, bindings::tensor_type(type), shape});
  }
  std::ranges::sort(tensors, quant::recipe_precedes, &quant::RecipeTensor::name);
  const auto types = quant::target_types(bindings::recipe_named(recipe),
                                         {architecture, layers, experts, heads, kv_heads}, tensors, important);
  std::map<std::string, std::string_view> by_name;
  for (std::size_t i = 0; i < types.size(); ++i) {
    by_name.emplace(tensors[i].name, gguf::type_traits(types[i]).name);
  }
  return by_name;
}

}  // namespace

// What tests and benchmarks alone call: docs/building.md.
PYBIND11_MODULE(_core_tests, m) {
  py::module_::import("engine._core");  // whose types and exceptions are used here
  m.def("target_types", &target_types, py::arg("recipe"), py::kw_only(), py::arg("architecture"), py::arg("layers"),
        py::arg("experts"), py::arg("heads"), py::arg("kv_heads"), py::arg("tensors"), py::arg("important") = false);
  bindings::tests::register_candidates(m);
  bindings::tests::register_kernels(m);
  bindings::tests::register_runtime(m);
  bindings::tests::register_thread_team(m);
}
