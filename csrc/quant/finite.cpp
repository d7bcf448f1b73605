#include "quant/finite.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/float16.h"
#include "quant/block.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

// Every 16-bit float at `at` of blocks of `stride` bytes. `exponent`: the bits that are all set in what is not finite.
bool finite_halves(std::span<const std::byte> bytes, std::size_t stride, std::size_t at, std::uint16_t exponent) {
  unsigned bad = 0;
  for (std::size_t i = at; i < bytes.size(); i += stride) {
    const auto half = load_unaligned<std::uint16_t>(bytes.data() + i);
    bad |= (half & exponent) == exponent ? 1u : 0u;
  }
  return bad == 0;
}

// Of E8M0, at the begin of each block.
bool finite_exponents(std::span<const std::byte> bytes, std::size_t stride) {
  for (std::size_t i = 0; i < bytes.size(); i += stride) {
    if (bytes[i] == std::byte{0xFF}) return false;
  }
  return true;
}

constexpr std::uint16_t kHalfExponent = 0x7C00;
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
    case TensorType::F32:  // its upper half has the exponent of a bfloat
      return finite_halves(bytes, stride, 2, kBfloatExponent);
    case TensorType::BF16:
      return finite_halves(bytes, stride, 0, kBfloatExponent);
    case TensorType::MXFP4:
      return finite_exponents(bytes, stride);
    default: {
      const std::size_t at = scale_at(type);
      return finite_halves(bytes, stride, at, kHalfExponent) &&
             (!has_minimum(type) || finite_halves(bytes, stride, at + 2, kHalfExponent));
    }
  }
}

}  // namespace engine::quant
