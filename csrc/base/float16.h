#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace engine {

// Exact widening of an IEEE half, subnormals included: the bits VCVTPH2PS gives.
inline float float_from_half(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1Fu;
  std::uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0) {
    if (mantissa == 0) return std::bit_cast<float>(sign);
    // A subnormal half is a normal float: shift its leading one into the implicit place.
    const auto shift = static_cast<std::uint32_t>(std::countl_zero(mantissa)) - 21;
    mantissa = (mantissa << shift) & 0x3FFu;
    return std::bit_cast<float>(sign | ((113 - shift) << 23) | (mantissa << 13));
  }
  if (exponent == 31) {
    const std::uint32_t quiet = mantissa != 0 ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7F800000u | quiet | (mantissa << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// Round to nearest, ties to even: the bits VCVTPS2PH gives.
inline std::uint16_t half_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    return static_cast<std::uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x1FFu));
  }
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65536 and above, infinity
  if (magnitude < 0x38800000u) {                                                    // below 2^-14: a subnormal half
    if (magnitude < 0x33000000u) return sign;                                       // below 2^-25
    const std::uint32_t exponent = magnitude >> 23;
    const std::uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    const std::uint32_t shift = 126 - exponent;
    const std::uint32_t quotient = mantissa >> shift;
    const std::uint32_t rest = mantissa & ((1u << shift) - 1);
    const std::uint32_t half_way = 1u << (shift - 1);
    const std::uint32_t round = (rest > half_way || (rest == half_way && (quotient & 1u) != 0)) ? 1 : 0;
    return static_cast<std::uint16_t>(sign | (quotient + round));
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

inline float float_from_bfloat(std::uint16_t bfloat) { return std::bit_cast<float>(std::uint32_t{bfloat} << 16); }

// GGUF blocks are only 2-byte aligned; every multi-byte field is read by copy.
template <typename T>
inline T load_unaligned(const void* source) {
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}

inline float load_half(const void* source) { return float_from_half(load_unaligned<std::uint16_t>(source)); }

}  // namespace engine
