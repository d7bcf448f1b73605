#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "gguf/file.h"
#include "quant/model_quantization.h"

namespace engine::bindings {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using quant::ModelQuantization;

std::unique_ptr<ModelQuantization> make_quantization(std::shared_ptr<gguf::File> file, const std::string& recipe,
                                                     const std::optional<std::map<std::string, Floats>>& importance,
                                                     const std::string& kernel_table, unsigned threads) {
  quant::ImportanceMatrix matrix;
  if (importance) {
    for (const auto& [name, values] : *importance) {
      matrix.emplace(name, std::vector<float>(values.data(), values.data() + values.size()));
    }
  }
  const kernels::KernelTable& table = usable_kernel_table(kernel_table);
  return std::make_unique<ModelQuantization>(std::move(file), recipe_named(recipe), std::move(matrix),
                                             ModelQuantization::Kernels{table.quantize_rows, table.dequantize},
                                             threads);
}

py::dict tensor_types(const ModelQuantization& quantization) {
  py::dict types;
  for (const ModelQuantization::Target& target : quantization.targets()) {
    types[text(target.source->name)] = text(gguf::type_traits(target.type).name);
  }
  return types;
}

// See quant::quantize_rows().
bool has_quantizer(gguf::TensorType type) {
  using enum gguf::TensorType;
  constexpr std::array kTypes{F16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

// x: [rows, columns]. The rows' bytes as in a file.
py::bytes quantize_rows(const std::string& table_name, const std::string& type_named, const Floats& x,
                        const std::optional<Floats>& importance) {
  if (x.ndim() != 2) throw std::invalid_argument("x is not [rows, columns]");
  const auto rows = static_cast<std::size_t>(x.shape(0));
  const auto columns = static_cast<std::size_t>(x.shape(1));
  const gguf::TypeTraits& traits = gguf::type_traits(tensor_type(type_named));
  if (!has_quantizer(traits.type)) {
    throw std::invalid_argument("nothing is quantized to " + type_named);
  }
  if (columns % traits.block_elements != 0) throw std::invalid_argument("columns are not whole blocks");
  if (importance && importance->size() != x.shape(1)) throw std::invalid_argument("importance is not [columns]");
  std::vector<std::byte> out(rows * columns / traits.block_elements * traits.block_bytes);
  const KeptSubnormals environment;
  usable_kernel_table(table_name)
      .quantize_rows(traits.type, x.data(), rows, columns, importance ? importance->data() : nullptr, out.data());
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

Floats dequantize(const std::string& table_name, const std::string& type_named, const py::bytes& blocks) {
  const std::string_view bytes = blocks;
  const gguf::TypeTraits& traits = gguf::type_traits(tensor_type(type_named));
  if (bytes.size() % traits.block_bytes != 0) throw std::invalid_argument("bytes are not whole blocks");
  const std::size_t count = bytes.size() / traits.block_bytes * traits.block_elements;
  Floats out(static_cast<py::ssize_t>(count));
  const KeptSubnormals environment;
  usable_kernel_table(table_name)
      .dequantize(traits.type, reinterpret_cast<const std::byte*>(bytes.data()), count, out.mutable_data());
  return out;
}

}  // namespace

void register_quantization(py::module_& m) {
  py::class_<quant::QuantizationProgress>(m, "QuantizationProgress")
      .def_readonly("bytes_done", &quant::QuantizationProgress::bytes_done)
      .def_readonly("bytes_total", &quant::QuantizationProgress::bytes_total)
      .def_readonly("tensors_done", &quant::QuantizationProgress::tensors_done)
      .def_readonly("tensors_total", &quant::QuantizationProgress::tensors_total)
      .def_property_readonly("tensor", [](const quant::QuantizationProgress& p) { return text(p.tensor); });
  py::class_<ModelQuantization>(m, "ModelQuantization")
      .def(py::init(&make_quantization), py::arg("file"), py::arg("recipe"), py::kw_only(),
           py::arg("importance") = py::none(), py::arg("kernel_table"), py::arg("threads"))
      .def_property_readonly("file_bytes", &ModelQuantization::file_bytes)
      .def("tensor_types", &tensor_types)
      // The name points into the file, which the quantization keeps.
      .def("progress", &ModelQuantization::progress, py::keep_alive<0, 1>())
      .def("cancel", &ModelQuantization::cancel)
      // Nothing of Python is touched while the GIL is released.
      .def("run", &ModelQuantization::run, py::arg("path"), py::call_guard<py::gil_scoped_release>())
      .def("write", &ModelQuantization::write, py::arg("descriptor"), py::arg("name"),
           py::call_guard<py::gil_scoped_release>());
}

void register_row_quantizers(py::module_& m) {
  m.def("quantize_rows", &quantize_rows, py::arg("table"), py::arg("type"), py::arg("x"),
        py::arg("importance") = py::none());
  m.def("dequantize", &dequantize, py::arg("table"), py::arg("type"), py::arg("weights"));
}

}  // namespace engine::bindings
