#pragma once

#include <cstdint>

#include "gguf/tensor_type.h"

namespace engine::quant {

// The 256 codes of a super-block that has no planes of bits: points of a grid with their signs (IQ1, IQ2, IQ3), or
// digits to base 3 (TQ1_0).
void read_points(gguf::TensorType type, const std::uint8_t* block, std::uint8_t* codes);

}  // namespace engine::quant
