#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/tensor_type.h"

// The inverse of decode_block() and decode_super_block(): codes and scales into a file's bytes.
namespace engine::quant {

// Q8_0, Q4_0, Q4_1, Q5_0, Q5_1. `scale` and `minimum` are halves; the symmetric types have no minimum.
void encode_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes,
                  std::byte* out);

// Eight scales and eight minimums as InnerScales::Format::SixBits in 12 bytes. A number of more than 6 bits spills into
// those of a later one, as in other GGUF quantizers.
void encode_six_bit_scales(const std::uint8_t* scales, const std::uint8_t* minimums, std::uint8_t* packed);

// 16 scales from -32 to 31 as InnerScales::Format::SignedSix in 12 bytes; 8 as InnerScales::Format::SignedFew in 6.
void encode_signed_six(const std::int8_t* scales, std::uint8_t* packed);
void encode_signed_few(const std::int8_t* scales, std::uint8_t* packed);

// `scales`: as in a block, of the type's format. Q3_K, Q6_K and IQ4_XS have no minimum.
void encode_super_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* scales,
                        const std::uint8_t* codes, std::byte* out);

}  // namespace engine::quant
