#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

namespace engine::bindings {

// Names and texts come from files: bytes that are not UTF-8 are shown as U+FFFD.
pybind11::object text(std::string_view bytes);

// Options from keywords: those that are not given keep their defaults.
template <typename Options>
Options options_of(const pybind11::kwargs& fields) {
  Options options;
  const pybind11::object self = pybind11::cast(&options, pybind11::return_value_policy::reference);
  for (const auto& [name, value] : fields) pybind11::setattr(self, name, value);
  return options;
}

void register_gguf(pybind11::module_& m);
void register_grammar(pybind11::module_& m);  // before runtime
void register_kernels(pybind11::module_& m);
void register_machine_probes(pybind11::module_& m);
void register_model(pybind11::module_& m);
void register_quantization(pybind11::module_& m);
void register_row_quantizers(pybind11::module_& m);  // the submodule `kernels`
void register_runtime(pybind11::module_& m);         // after sampling
void register_sampling(pybind11::module_& m);
void register_stream(pybind11::module_& m);  // after runtime
void register_text_embedding(pybind11::module_& m);
void register_text_evaluation(pybind11::module_& m);

namespace tests {
void register_candidates(pybind11::module_& m);
void register_kernels(pybind11::module_& m);
void register_runtime(pybind11::module_& m);
void register_thread_team(pybind11::module_& m);
}  // namespace tests

}  // namespace engine::bindings
