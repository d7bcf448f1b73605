#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

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

inline constexpr std::array<std::uint64_t, 4> kDigestLanes{1, 2, 3, 4};

// 32 bytes into four independent lanes.
inline void fold_words(std::array<std::uint64_t, 4>& lanes, const std::byte* bytes) {
  std::array<std::uint64_t, 4> words;
  std::memcpy(words.data(), bytes, sizeof(words));
  for (std::size_t j = 0; j < 4; ++j) lanes[j] = std::rotl((lanes[j] ^ words[j]) * 0x9E3779B97F4A7C15, 29);
}

// The digest of `count` parts of 4 bytes. Four independent lanes keep the multiplier busy; each step is reversible, so
// that no change of a single part goes unseen.
inline Digest digest_of_parts(const void* parts, std::size_t count) {
  const auto* bytes = static_cast<const std::byte*>(parts);
  std::array<std::uint64_t, 4> lanes = kDigestLanes;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) fold_words(lanes, bytes + 4 * i);
  Digest digest;
  digest.fold(count);
  for (const std::uint64_t lane : lanes) digest.fold(lane);
  for (; i < count; ++i) {
    std::uint32_t part = 0;
    std::memcpy(&part, bytes + 4 * i, sizeof(part));
    digest.fold(part);
  }
  return digest;
}

// The digest of the bits of n floats.
inline Digest digest_of(const float* values, std::size_t n) { return digest_of_parts(values, n); }

// The digest of bytes that come in pieces, and of their number.
class ByteDigest {
 public:
  // Every piece but the last is a multiple of kPiece bytes.
  static constexpr std::size_t kPiece = 32;

  void append(std::span<const std::byte> piece) {
    std::size_t i = 0;
    for (; i + kPiece <= piece.size(); i += kPiece) fold_words(lanes_, piece.data() + i);
    rest_size_ = piece.size() - i;
    std::copy_n(piece.data() + i, rest_size_, rest_.data());
    size_ += piece.size();
  }

  Digest digest() const {
    Digest digest;
    digest.fold(size_ / 4);
    for (const std::uint64_t lane : lanes_) digest.fold(lane);
    std::size_t i = 0;
    for (; i + 4 <= rest_size_; i += 4) {
      std::uint32_t part = 0;
      std::memcpy(&part, rest_.data() + i, sizeof(part));
      digest.fold(part);
    }
    for (; i < rest_size_; ++i) digest.fold(std::to_integer<std::uint64_t>(rest_[i]));
    digest.fold(size_);
    return digest;
  }

 private:
  std::array<std::uint64_t, 4> lanes_ = kDigestLanes;
  std::array<std::byte, kPiece> rest_{};
  std::size_t rest_size_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace engine
