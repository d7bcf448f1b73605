#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace engine {

// A fast 128-bit digest of a sequence of values, for telling equal results from unequal ones; not for security.
struct Digest {
  std::uint64_t low = 0x243F6A8885A308D3;
  std::uint64_t high = 0x13198A2E03707344;

  void fold(std::uint64_t value) {
    low = mix(low ^ value);
    high = mix(high + std::rotl(value, 32) + low);
  }

  void fold(const Digest& other) {
    fold(other.low);
    fold(other.high);
  }

  static std::uint64_t mix(std::uint64_t value) {  // the finalizer of SplitMix64
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
  }

  std::string hexadecimal() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const std::uint64_t half : {high, low}) {
      for (int shift = 60; shift >= 0; shift -= 4) text.push_back(kDigits[(half >> shift) & 15]);
    }
    return text;
  }
};

// The digest of the bits of n floats. Four independent lanes keep the multiplier busy.
inline Digest digest_of(const float* values, std::size_t n) {
  std::array<std::uint64_t, 4> lanes{1, 2, 3, 4};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    std::array<std::uint64_t, 4> words;
    std::memcpy(words.data(), values + i, sizeof(words));
    for (std::size_t j = 0; j < 4; ++j) lanes[j] = std::rotl((lanes[j] ^ words[j]) * 0x9E3779B97F4A7C15, 29);
  }
  Digest digest;
  digest.fold(n);
  for (const std::uint64_t lane : lanes) digest.fold(lane);
  for (; i < n; ++i) digest.fold(std::bit_cast<std::uint32_t>(values[i]));
  return digest;
}

}  // namespace engine
