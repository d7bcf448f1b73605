#pragma once

#include <cstddef>
#include <span>

#include "gguf/tensor_type.h"

namespace engine::quant {

// Whether there is neither an infinity nor a NaN among the values.
bool all_finite(std::span<const float> values);
// The same of what a file holds: of the scales and minimums of quantized types. `bytes` are whole blocks.
bool all_finite(gguf::TensorType type, std::span<const std::byte> bytes);

}  // namespace engine::quant
