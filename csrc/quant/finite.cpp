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

// Of E8M0, at the begin of each block: whether all values that a block may have are floats.
bool finite_exponents(std::span<const std::byte> bytes, std::size_t stride) {
  constexpr std::byte kLargest{252};  // of the next one, 8 times half of what it stands for is 2^128
  bool finite = true;
  for (std::size_t i = 0; i < bytes.size(); i += stride) finite = finite && bytes[i] <= kLargest;
  return finite;
}

// Floats side by side, as words of which `exponent` are the bits that are all set in what is not finite.
template <typename Word>
bool finite_words(std::span<const std::byte> bytes, Word exponent) {
  Word bad = 0;
  for (std::size_t i = 0; i < bytes.size() / sizeof(Word); ++i) {
    const auto word = load_unaligned<Word>(bytes.data() + i * sizeof(Word));
    bad |= (word & exponent) == exponent ? Word{1} : Word{0};
  }
  return bad == 0;
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
    case TensorType::F32:
      return finite_words(bytes, kFloatExponent);
    case TensorType::F16:
      return finite_words(bytes, kHalfExponent);
    case TensorType::BF16:
      return finite_words(bytes, kBfloatExponent);
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
