#include <pybind11/pybind11.h>

#include <exception>
#include <system_error>

#include "base/cancelled.h"
#include "base/cpu_features.h"
#include "base/file_broker.h"
#include "base/native_build.h"
#include "bindings/register.h"
#include "gguf/error.h"
#include "kernels/kernel_table.h"
#include "model/forward/non_finite.h"
#include "model/load/weights.h"
#include "quant/model_quantization.h"
#include "runtime/grammar/grammar.h"

namespace py = pybind11;

namespace {

using engine::bindings::text;

// What an exception has beside its message.
template <typename Failure>
void add_attributes(const Failure& /*error*/, py::object& /*exception*/) {}

void add_attributes(const engine::model::NonFiniteWeights& error, py::object& exception) {
  exception.attr("tensor") = text(error.tensor());
  exception.attr("row") = error.row();
}

void add_attributes(const engine::model::NonFiniteResult& error, py::object& exception) {
  exception.attr("place") = error.place();
}

// A Python exception of our own. Its message may quote what a file holds. One of a subclass is registered later.
template <typename Failure>
void register_error(py::module_& m, const char* name, const char* base = nullptr) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> type;
  type.call_once_and_store_result(
      [&] { return py::exception<Failure>(m, name, base == nullptr ? PyExc_Exception : m.attr(base).ptr()); });
  py::register_exception_translator([](std::exception_ptr failure) {
    try {
      std::rethrow_exception(std::move(failure));
    } catch (const Failure& error) {
      py::object exception = type.get_stored()(text(error.what()));
      add_attributes(error, exception);
      PyErr_SetObject(type.get_stored().ptr(), exception.ptr());
    }
  });
}

// Called with arguments, OSError becomes the subclass that belongs to the error number.
void translate_system_error(std::exception_ptr failure) {
  try {
    std::rethrow_exception(std::move(failure));
  } catch (const std::system_error& error) {
    PyErr_SetObject(PyExc_OSError, py::make_tuple(error.code().value(), text(error.what())).ptr());
  }
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = ENGINE_VERSION;
  register_error<engine::UnknownCpuFeature>(m, "UnknownCpuFeatureError");
  register_error<engine::gguf::MalformedFile>(m, "GgufError");
  register_error<engine::gguf::ChangedFile>(m, "ChangedFileError", "GgufError");
  register_error<engine::UnsupportedModel>(m, "UnsupportedModelError");
  register_error<engine::quant::UnquantizableTensor>(m, "UnquantizableTensorError");
  register_error<engine::Cancelled>(m, "CancelledError");
  register_error<engine::model::NonFiniteResult>(m, "NonFiniteResultError");
  register_error<engine::model::NonFiniteWeights>(m, "NonFiniteWeightsError", "GgufError");
  register_error<engine::runtime::GrammarError>(m, "GrammarError");
  register_error<engine::runtime::GrammarTimeout>(m, "GrammarTimeoutError");
  register_error<engine::runtime::GrammarLibraryUnavailable>(m, "GrammarLibraryError");
  py::register_exception_translator(&translate_system_error);
  m.def("native_build", [] {
    py::dict build;
    build["sources"] = engine::kNativeBuild.sources;
    build["compiler"] = engine::kNativeBuild.compiler;
    build["flags"] = engine::kNativeBuild.flags;
    return build;
  });
  m.def("set_file_broker", &engine::set_file_broker, py::arg("socket"));
  m.def("name_new", &engine::name_new, py::arg("path"), py::arg("name"));
  m.def("open_to_read", &engine::open_to_read, py::arg("path"), py::call_guard<py::gil_scoped_release>());
  m.def("cpu_model", &engine::cpu_model);
  m.def("cpu_features", [] {
    py::dict reasons;
    for (const engine::CpuFeatureState& feature : engine::cpu_features()) {
      reasons[py::str(feature.name.data(), feature.name.size())] = feature.unavailable;
    }
    return reasons;
  });
  m.def("masked_cpu_features", [] {
    py::list names;
    for (const engine::CpuFeatureState& feature : engine::cpu_features()) {
      if (feature.present && !feature.unavailable.empty())
        names.append(py::str(feature.name.data(), feature.name.size()));
    }
    return names;
  });
  m.def("kernel_tables", [] {
    py::dict tables;
    for (const auto* table : engine::kernels::kernel_tables()) {
      tables[py::str(table->name.data(), table->name.size())] = table->unavailable();
    }
    return tables;
  });
  engine::bindings::register_gguf(m);
  engine::bindings::register_kernels(m);
  engine::bindings::register_machine_probes(m);
  engine::bindings::register_model(m);
  engine::bindings::register_quantization(m);
  engine::bindings::register_grammar(m);
  engine::bindings::register_sampling(m);
  engine::bindings::register_runtime(m);
  engine::bindings::register_stream(m);
  engine::bindings::register_text_embedding(m);
  engine::bindings::register_text_evaluation(m);
}
