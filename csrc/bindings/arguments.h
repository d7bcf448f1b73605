#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "gguf/tensor_type.h"
#include "kernels/attention/kv_block.h"
#include "kernels/gemm/matrix.h"
#include "kernels/kernel_table.h"
#include "quant/recipe.h"

// What arguments from Python stand for. All throw std::invalid_argument.
namespace engine::bindings {

// Inline, so that what looks for faults sees what holds behind it.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

kernels::KvType kv_type(std::string_view name);
gguf::TensorType tensor_type(std::string_view name);
const kernels::KernelTable& known_kernel_table(std::string_view name);
// Also throws for a table that cannot run here.
const kernels::KernelTable& usable_kernel_table(std::string_view name);
quant::Recipe recipe_named(std::string_view name);
// Rows as in a file, one or more. The matrix points to them.
kernels::Matrix matrix_of(std::string_view type, std::string_view rows, std::size_t columns);

}  // namespace engine::bindings
