#include "model/load/tensors.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <optional>

#include "quant/block.h"
#include "quant/finite.h"

namespace engine::model {
namespace {

std::string shape_text(std::size_t rows, std::size_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

void check_shape(const gguf::TensorInfo& tensor, std::size_t rows, std::size_t columns) {
  if (tensor.columns() == columns && tensor.rows() == rows) return;
  throw gguf::MalformedFile("tensor " + gguf::quoted(tensor.name) + " is " +
                            shape_text(tensor.rows(), tensor.columns()) + " where the metadata wants " +
                            shape_text(rows, columns));
}

// 3 of "blk.3.attn_q.weight".
std::optional<std::size_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::size_t layer = 0;
  const char* const end = std::to_address(name.end());
  const auto [rest, error] = std::from_chars(std::to_address(name.begin()), end, layer);
  return error == std::errc{} && rest != end && *rest == '.' ? std::optional(layer) : std::nullopt;
}

}  // namespace

bool is_unused(std::string_view name, const HyperParameters& shape) {
  // Some files bring what makes embeddings of pictures (v.), of sound (a.), and what fits these to the model (mm.).
  for (const std::string_view part : {"v.", "a.", "mm."}) {
    if (name.starts_with(part)) return true;
  }
  const auto layer = layer_of(name);
  return layer && *layer >= shape.layers && *layer - shape.layers < shape.unused_layers;
}

Projection rows_of(const Projection& all, std::size_t begin, std::size_t count) {
  Projection part{.weight = all.weight, .source = {all.source.tensor, begin}, .bias = {}};
  part.weight.rows = count;
  if (all.bias.empty()) return part;
  const auto first = all.bias.begin() + static_cast<std::ptrdiff_t>(begin);
  part.bias.assign(first, first + static_cast<std::ptrdiff_t>(count));
  return part;
}

const gguf::TensorInfo* Tensors::find(const std::string& name) {
  used_.insert(name);
  return file_.find_tensor(name);
}

const gguf::TensorInfo& Tensors::require(const std::string& name) {
  const gguf::TensorInfo* tensor = find(name);
  if (tensor == nullptr) throw gguf::MalformedFile("tensor " + gguf::quoted(name) + " is missing");
  return *tensor;
}

Projection Tensors::matrix(const std::string& name, std::size_t rows, std::size_t columns) {
  const gguf::TensorInfo& tensor = require(name);
  check_shape(tensor, rows, columns);
  Projection whole;
  whole.weight.type = tensor.type;
  whole.weight.rows = rows;
  whole.weight.columns = columns;
  whole.source.tensor = &tensor;
  return whole;
}

Projection Tensors::projection(const std::string& name, std::size_t rows, std::size_t columns) {
  Projection found = matrix(name + ".weight", rows, columns);
  found.bias = vector_if_present(name + ".bias", rows);
  return found;
}

std::vector<Projection> Tensors::matrices(const std::string& name, std::size_t count, std::size_t rows,
                                          std::size_t columns) {
  const gguf::TensorInfo& tensor = require(name);
  check_shape(tensor, count * rows, columns);
  if (tensor.dimensions.size() < 3 || tensor.dimensions[2] != count) {
    throw gguf::MalformedFile("tensor " + gguf::quoted(name) + " is not of " + std::to_string(count) + " matrices");
  }
  const Projection all = matrix(name, count * rows, columns);
  std::vector<Projection> parts;
  parts.reserve(count);
  for (std::size_t i = 0; i < count; ++i) parts.push_back(rows_of(all, i * rows, rows));
  return parts;
}

std::vector<Projection> Tensors::experts(const std::string& stem, std::size_t count, std::size_t rows,
                                         std::size_t columns) {
  std::vector<Projection> found = matrices(stem + ".weight", count, rows, columns);
  if (find(stem + ".bias") == nullptr) return found;
  const std::vector<float> biases = vectors(stem + ".bias", count, rows);
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = biases.begin() + static_cast<std::ptrdiff_t>(i * rows);
    found[i].bias.assign(first, first + static_cast<std::ptrdiff_t>(rows));
  }
  return found;
}

std::vector<float> Tensors::vectors(const std::string& name, std::size_t count, std::size_t size) {
  const gguf::TensorInfo& tensor = require(name);
  check_shape(tensor, count, size);
  const std::size_t row_bytes = tensor.size_bytes / count;
  const auto bytes = reader_.read(tensor);
  std::vector<float> values(count * size);
  for (std::size_t row = 0; row < count; ++row) {
    float* own = values.data() + row * size;
    quant::dequantize_row(tensor.type, bytes.data() + row * row_bytes, size, own);
    if (std::isinf(quant::largest_magnitude({own, size}))) throw NonFiniteWeights(name, row);
  }
  return values;
}

std::vector<float> Tensors::vector_if_present(const std::string& name, std::size_t size) {
  return find(name) != nullptr ? vector(name, size) : std::vector<float>{};
}

Norm Tensors::norm(const std::string& name, NormKind kind, std::size_t size, std::size_t count) {
  Norm found{.weight = vectors(name + ".weight", count, size), .bias = {}};
  if (kind == NormKind::Layer && find(name + ".bias") != nullptr) {
    found.bias = vectors(name + ".bias", count, size);
  }
  return found;
}

void Tensors::refuse_unused(const HyperParameters& shape) const {
  for (const gguf::TensorInfo& tensor : file_.tensors()) {
    if (!used_.contains(std::string(tensor.name)) && !is_unused(tensor.name, shape)) {
      throw UnsupportedModel("tensor " + gguf::quoted(tensor.name) + " has no place in this architecture");
    }
  }
}

}  // namespace engine::model
