#include "quant/finite.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/float16.h"
#include "quant/block.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

// Whether all bits of `exponent`, one field or several, are set in no field of a word at `at` of blocks of `stride`
// bytes. Adding a field's lowest bit to such a one carries into the bit above it, and to no other.
template <typename Word>
bool no_full_exponents(std::span<const std::byte> bytes, std::size_t stride, std::size_t at, Word exponent) {
  const auto lowest = static_cast<Word>(exponent & ~(exponent << 1));
  const auto above = static_cast<Word>((exponent << 1) & ~exponent);
  Word carried = 0;
  for (std::size_t i = at; i < bytes.size(); i += stride) {
    const auto word = load_unaligned<Word>(bytes.data() + i);
    carried = static_cast<Word>(carried | ((word & exponent) + lowest));
  }
  return (carried & above) == 0;
}

// Of E8M0, at the begin of each block: whether all values that a block may have are floats.
bool finite_exponents(std::span<const std::byte> bytes, std::size_t stride) {
  constexpr unsigned kLargest = 252;  // of the next one, 8 times half of what it stands for is 2^128
  unsigned carried = 0;
  for (std::size_t i = 0; i < bytes.size(); i += stride) {
    carried |= std::to_integer<unsigned>(bytes[i]) + (255 - kLargest);
  }
  return carried < 256;
}

constexpr std::uint16_t kHalfExponent = 0x7C00;
constexpr std::uint32_t kTwoHalfExponents = 0x7C007C00;
constexpr std::uint16_t kBfloatExponent = 0x7F80;
constexpr std::uint32_t kFloatExponent = 0x7F800000;

}  // namespace

float largest_magnitude(std::span<const float> values) {
  constexpr std::uint32_t kMagnitude = 0x7FFFFFFF;
  std::int32_t largest = 0;
  for (const float value : values) {
    largest = std::max(largest, static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value) & kMagnitude));
  }
  return std::bit_cast<float>(std::min(largest, static_cast<std::int32_t>(kFloatExponent)));
}

bool all_finite(TensorType type, std::span<const std::byte> bytes) {
  const std::size_t stride = gguf::type_traits(type).block_bytes;
  switch (type) {
    case TensorType::F32:
      return no_full_exponents(bytes, sizeof(kFloatExponent), 0, kFloatExponent);
    case TensorType::F16:
      return no_full_exponents(bytes, sizeof(kHalfExponent), 0, kHalfExponent);
    case TensorType::BF16:
      return no_full_exponents(bytes, sizeof(kBfloatExponent), 0, kBfloatExponent);
    case TensorType::MXFP4:
      return finite_exponents(bytes, stride);
    default:
      if (has_minimum(type)) return no_full_exponents(bytes, stride, scale_at(type), kTwoHalfExponents);
      return no_full_exponents(bytes, stride, scale_at(type), kHalfExponent);
  }
}

}  // namespace engine::quant
