#include "quant/block_encoding.h"

#include <cstring>

namespace engine::quant {
namespace {

using gguf::TypeTraits;

std::uint8_t byte_of(unsigned bits) { return static_cast<std::uint8_t>(bits); }

// Stores the field of every code: its bits from `above` on.
void put_bits(const gguf::CodeBits& field, int above, const std::uint8_t* codes, std::size_t count,
              std::uint8_t* block) {
  std::uint8_t* run = block + field.at;
  const unsigned mask = (1u << field.bits) - 1;
  for (const std::uint8_t* end = codes + count; codes != end; run += field.run) {
    for (int bit = 0; bit < 8; bit += field.bits, codes += field.run) {
      for (std::size_t i = 0; i < field.run; ++i) run[i] = byte_of(run[i] | ((codes[i] >> above) & mask) << bit);
    }
  }
}

// All of a block but its inner scales.
void put_block(const TypeTraits& traits, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes,
               std::uint8_t* block) {
  std::memset(block, 0, traits.block_bytes);
  std::memcpy(block + traits.scale_at, &scale, sizeof(scale));
  if (traits.has_minimum) std::memcpy(block + traits.scale_at + sizeof(scale), &minimum, sizeof(minimum));
  put_bits(traits.low, 0, codes, traits.block_elements, block);
  if (traits.high.bits != 0) put_bits(traits.high, traits.low.bits, codes, traits.block_elements, block);
}

}  // namespace

void encode_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes,
                  std::byte* out) {
  put_block(gguf::type_traits(type), scale, minimum, codes, reinterpret_cast<std::uint8_t*>(out));
}

void encode_six_bit_scales(const std::uint8_t* scales, const std::uint8_t* minimums, std::uint8_t* packed) {
  for (std::size_t j = 0; j < 4; ++j) {
    packed[j] = byte_of(scales[j] | ((scales[j + 4] >> 4u) << 6));
    packed[j + 4] = byte_of(minimums[j] | ((minimums[j + 4] >> 4u) << 6));
    packed[j + 8] = byte_of((scales[j + 4] & 0x0Fu) | ((minimums[j + 4] & 0x0Fu) << 4));
  }
}

void encode_super_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* scales,
                        const std::uint8_t* codes, std::byte* out) {
  const TypeTraits& traits = gguf::type_traits(type);
  auto* block = reinterpret_cast<std::uint8_t*>(out);
  put_block(traits, scale, minimum, codes, block);
  const bool six_bits = traits.inner_scales.format == gguf::InnerScales::Format::SixBits;
  std::memcpy(block + traits.inner_scales.at, scales, six_bits ? 12 : 16);
}

}  // namespace engine::quant
