#pragma once

#include <cstddef>
#include <span>

#include "gguf/tensor_type.h"

namespace engine::quant {

// 0 where there are no values; infinity where a value is infinite or NaN.
float largest_magnitude(std::span<const float> values);
// Whether there is neither an infinity nor a NaN in what a file holds: in the scales and minimums of quantized types. A
// scale of MXFP4 by which values of a block could be too large for a float counts as infinite.
// `bytes` are whole blocks.
bool all_finite(gguf::TensorType type, std::span<const std::byte> bytes);

}  // namespace engine::quant
