#include "quant/finite.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "base/float16.h"
#include "quant/block.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

constexpr std::uint32_t kFloatInfinity = 0x7F800000;
constexpr std::uint16_t kHalfInfinity = 0x7C00;
constexpr std::uint16_t kBfloatInfinity = 0x7F80;
constexpr std::uint8_t kLargestExponent = 252;  // by the next, 2^125, the codebook's 8 would be 2^128

// Whether every number, one at `at` in each `stride` bytes, is below infinity in magnitude: what takes infinity beyond
// the magnitudes, into the place of the sign, takes no finite number there.
template <typename Number>
bool all_below(Number infinity, std::span<const std::byte> bytes, std::size_t stride, std::size_t at) {
  constexpr Number kMagnitude = std::numeric_limits<Number>::max() / 2;
  Number carried = 0;
  for (std::size_t i = at; i < bytes.size(); i += stride) {
    const auto magnitude = static_cast<Number>(load_unaligned<Number>(bytes.data() + i) & kMagnitude);
    carried = static_cast<Number>(carried | (magnitude + (kMagnitude - infinity + 1)));
  }
  return carried <= kMagnitude;
}

}  // namespace

float largest_magnitude(std::span<const float> values) {
  constexpr std::uint32_t kMagnitude = 0x7FFFFFFF;
  std::int32_t largest = 0;
  for (const float value : values) {
    largest = std::max(largest, static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value) & kMagnitude));
  }
  return std::bit_cast<float>(std::min(largest, static_cast<std::int32_t>(kFloatInfinity)));
}

bool all_finite(TensorType type, std::span<const std::byte> bytes) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t stride = traits.block_bytes;
  if (type == TensorType::F32) return all_below(kFloatInfinity, bytes, stride, 0);
  if (type == TensorType::BF16) return all_below(kBfloatInfinity, bytes, stride, 0);
  if (traits.scale_format == gguf::ScaleFormat::Exponent) {
    for (std::size_t i = traits.scale_at; i < bytes.size(); i += stride) {
      if (std::to_integer<std::uint8_t>(bytes[i]) > kLargestExponent) return false;
    }
    return true;
  }
  if (traits.scale_format == gguf::ScaleFormat::Quarters) {
    for (std::size_t i = traits.scale_at; i < bytes.size(); i += stride) {
      const std::uint16_t half = half_from_quarters(reinterpret_cast<const std::uint8_t*>(bytes.data() + i));
      if ((half & kHalfInfinity) == kHalfInfinity) return false;
    }
    return true;
  }
  return all_below(kHalfInfinity, bytes, stride, traits.scale_at) &&
         (!traits.has_minimum || all_below(kHalfInfinity, bytes, stride, traits.scale_at + sizeof(kHalfInfinity)));
}

}  // namespace engine::quant
