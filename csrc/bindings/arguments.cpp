#include "bindings/arguments.h"

#include <algorithm>
#include <stdexcept>

namespace engine::bindings {

kernels::KvType kv_type(std::string_view name) {
  const auto type = kernels::kv_type_named(name);
  if (!type) throw std::invalid_argument("no KV cache type is named '" + std::string(name) + "'");
  return *type;
}

gguf::TensorType tensor_type(std::string_view name) {
  const auto traits = std::ranges::find(gguf::kTensorTypes, name, &gguf::TypeTraits::name);
  if (traits == gguf::kTensorTypes.end()) throw std::invalid_argument("tensor type '" + std::string(name) + "'");
  return traits->type;
}

const kernels::KernelTable& known_kernel_table(std::string_view name) {
  const kernels::KernelTable* table = kernels::find_kernel_table(name);
  if (table == nullptr) throw std::invalid_argument("kernel table '" + std::string(name) + "'");
  return *table;
}

const kernels::KernelTable& usable_kernel_table(std::string_view name) {
  const kernels::KernelTable& table = known_kernel_table(name);
  if (!table.unavailable().empty()) throw std::invalid_argument("kernel table '" + std::string(name) + "'");
  return table;
}

quant::Recipe recipe_named(std::string_view name) {
  const auto recipe = quant::find_recipe(name);
  if (!recipe) throw std::invalid_argument("no recipe is named '" + std::string(name) + "'");
  return *recipe;
}

kernels::Matrix matrix_of(std::string_view type, std::string_view rows, std::size_t columns) {
  kernels::Matrix matrix;
  matrix.type = tensor_type(type);
  matrix.columns = columns;
  matrix.raw = std::as_bytes(std::span(rows));
  const std::size_t row_bytes = matrix.row_bytes();
  require(columns > 0 && columns % gguf::type_traits(matrix.type).block_elements == 0 && !rows.empty() &&
              rows.size() % row_bytes == 0,
          "weights of a size that is not whole rows");
  matrix.rows = rows.size() / row_bytes;
  return matrix;
}

}  // namespace engine::bindings
