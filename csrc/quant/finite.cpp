#include "quant/finite.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/float16.h"

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

constexpr std::uint16_t kHalfExponent = 0x7C00;
constexpr std::uint16_t kBfloatExponent = 0x7F80;
constexpr std::uint32_t kFloatExponent = 0x7F800000;
constexpr std::size_t kScaleOfQ6K = 208;

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
    case TensorType::Q6_K:
      return finite_halves(bytes, stride, kScaleOfQ6K, kHalfExponent);
    case TensorType::Q4_1:
    case TensorType::Q5_1:
    case TensorType::Q4_K:
    case TensorType::Q5_K:
      return finite_halves(bytes, stride, 0, kHalfExponent) && finite_halves(bytes, stride, 2, kHalfExponent);
    default:
      return finite_halves(bytes, stride, 0, kHalfExponent);
  }
}

}  // namespace engine::quant
