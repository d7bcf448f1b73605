#include "model/model.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "bindings/arguments.h"
#include "bindings/register.h"
#include "model/forward/forward_pass.h"
#include "model/forward/non_finite.h"
#include "model/jobs/evaluation.h"
#include "model/kv_cache.h"
#include "model/load/architecture.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using model::Model;

std::shared_ptr<Model> load(std::shared_ptr<gguf::File> file, const std::string& kernel_table, unsigned threads,
                            model::LoadControl* control) {
  model::LoadControl unwatched;
  return std::make_shared<Model>(std::move(file), kernel_table, threads, control != nullptr ? *control : unwatched);
}

py::list logits(const Model& model, const std::vector<std::vector<std::int32_t>>& prompts, unsigned threads,
                std::size_t prefill_chunk, bool last_only, const std::string& kv_cache) {
  std::vector<std::vector<float>> results;
  {
    // Nothing of Python is touched while the GIL is released: arguments were converted before, results are after.
    const py::gil_scoped_release release;
    results = model::evaluate(model, prompts, {threads, prefill_chunk, last_only, kv_type(kv_cache)});
  }
  py::list arrays;
  const std::size_t vocabulary = model.shape().vocabulary;
  for (const std::vector<float>& result : results) {
    arrays.append(py::array_t<float>({result.size() / vocabulary, vocabulary}, result.data()));
  }
  return arrays;
}

}  // namespace

void register_model(py::module_& m) {
  m.def("architectures", [] {
    std::vector<std::string> names;
    for (const model::Architecture* architecture : model::architectures()) names.emplace_back(architecture->name);
    return names;
  });
  m.def(
      "weights_size",
      [](const gguf::File& file, const std::string& kernel_table,
         const std::optional<std::map<std::string, std::string>>& types) {
        const kernels::KernelTable& table = known_kernel_table(kernel_table);
        model::TensorTypes other;
        if (types) {
          for (const auto& [name, type] : *types) other.emplace(name, tensor_type(type));
        }
        const py::gil_scoped_release release;
        const model::WeightsSize size = model::weights_size(file, table, other);
        return std::pair(size.memory, size.token);
      },
      py::arg("file"), py::arg("kernel_table"), py::arg("types") = py::none());
  m.def("layer_macs", &model::layer_macs, py::arg("file"), py::call_guard<py::gil_scoped_release>());
  using model::NonFinitePlace;
  py::class_<NonFinitePlace>(m, "NonFinitePlace")
      .def_property_readonly("part", [](const NonFinitePlace& place) { return std::string(part_name(place.part)); })
      .def_property_readonly("layer",
                             [](const NonFinitePlace& place) {
                               return is_in_layer(place.part) ? std::optional(place.layer) : std::nullopt;
                             })
      .def_readonly("position", &NonFinitePlace::position);
  m.def(
      "activation_row_bytes",
      [](const gguf::File& file, const std::string& table) {
        return model::ForwardPass::row_bytes(model::read_hyper_parameters(file), known_kernel_table(table));
      },
      py::arg("file"), py::arg("table"));
  m.def(
      "shared_step_bytes",
      [](const gguf::File& file, unsigned threads, std::size_t rows, std::size_t positions) {
        return model::ForwardPass::shared_bytes(model::read_hyper_parameters(file), threads, rows, positions);
      },
      py::arg("file"), py::kw_only(), py::arg("threads"), py::arg("rows"), py::arg("positions"));
  m.def("is_causal", [](const gguf::File& file) { return model::read_hyper_parameters(file).causal; });
  m.def(
      "kv_bytes_per_token",
      [](const gguf::File& file, const std::string& kv_cache) -> std::optional<std::size_t> {
        const model::HyperParameters shape = model::read_hyper_parameters(file);
        const kernels::KvType type = kv_type(kv_cache);
        if (!kernels::kv_type_fits(type, shape.head_dim)) return std::nullopt;
        return model::KvCache::bytes_per_position(shape, type);
      },
      py::arg("file"), py::arg("kv_cache"));
  m.def("attention_layers",
        [](const gguf::File& file) { return model::read_hyper_parameters(file).attention_layers(); });
  m.def("recurrent_bytes",
        [](const gguf::File& file) { return model::RecurrentState::bytes(model::read_hyper_parameters(file)); });
  m.def("windowed_layers", [](const gguf::File& file) {
    const model::HyperParameters shape = model::read_hyper_parameters(file);
    const auto windowed =
        std::ranges::count_if(shape.layer_shapes, [](const auto& layer) { return layer.window != 0; });
    return std::pair(shape.widest_window(), windowed);
  });
  m.def("window_positions", &model::KvCache::window_positions, py::arg("window"), py::arg("rows"));
  py::class_<model::LoadControl>(m, "LoadControl")
      .def(py::init<>())
      .def_property_readonly("bytes_done", [](const model::LoadControl& control) { return control.bytes_done.load(); })
      .def("cancel", [](model::LoadControl& control) { control.cancelled.store(true); });
  py::class_<Model, std::shared_ptr<Model>>(m, "Model")
      .def_static("load", &load, py::arg("file"), py::arg("kernel_table"), py::arg("threads"),
                  py::arg("control") = py::none(), py::call_guard<py::gil_scoped_release>())
      .def_static(
          "load",
          [](const std::string& path, const std::string& kernel_table, unsigned threads, model::LoadControl* control) {
            return load(std::make_shared<gguf::File>(path), kernel_table, threads, control);
          },
          py::arg("path"), py::arg("kernel_table"), py::arg("threads"), py::arg("control") = py::none(),
          py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("architecture", [](const Model& model) { return model.shape().architecture; })
      .def_property_readonly("kernel_path", [](const Model& model) { return std::string(model.kernels().name); })
      .def_property_readonly("weights_bytes", &Model::weights_bytes)
      .def(
          "kv_bytes_per_token",
          [](const Model& model, const std::string& kv_cache) {
            return model::KvCache::bytes_per_position(model.shape(), kv_type(kv_cache));
          },
          py::arg("kv_cache") = "f16")
      .def_property_readonly("context_length", [](const Model& model) { return model.shape().context_length; })
      .def_property_readonly("vocab_size", [](const Model& model) { return model.shape().vocabulary; })
      .def("logits", &logits, py::arg("prompts"), py::arg("threads") = 1, py::arg("prefill_chunk") = 256,
           py::arg("last_only") = false, py::arg("kv_cache") = "f16");
}

}  // namespace engine::bindings
