#include "quant/points.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "base/float16.h"
#include "quant/block.h"
#include "quant/grids.h"

// Eight codes at a time, a byte each of a word.
namespace engine::quant {
namespace {

using gguf::TensorType;

using Eight = std::uint64_t;

constexpr Eight kOnes = 0x0101010101010101;

// Eight codes of two bits.
constexpr Eight spread_pairs(Eight point) {
  point = (point | (point << 24)) & 0x000000FF000000FF;
  point = (point | (point << 12)) & 0x000F000F000F000F;
  return (point | (point << 6)) & 0x0303030303030303;
}

// Four codes of three bits.
constexpr Eight spread_threes(Eight point) {
  point = (point | (point << 10)) & 0x003F003F;
  return (point | (point << 5)) & 0x07070707;
}

// Eight bits.
constexpr Eight spread_bits(unsigned bits) {
  const Eight one_each = (bits * kOnes) & 0x8040201008040201;
  return ((one_each + 0x7F * kOnes) >> 7) & kOnes;
}

// The last of eight signs is not stored: the number of negative ones is even.
constexpr unsigned even_signs(unsigned seven) { return seven | (static_cast<unsigned>(std::popcount(seven) % 2) << 7); }

void store(Eight codes, std::uint8_t* out) { std::memcpy(out, &codes, sizeof(codes)); }

void read_iq2_xxs(const std::uint8_t* block, std::uint8_t* codes) {
  for (const std::uint8_t* part = block + 2; part != block + 66; part += 8) {
    const auto signs = load_unaligned<std::uint32_t>(part + 4);
    for (unsigned i = 0; i < 4; ++i, codes += 8) {
      store(spread_pairs(kGrid2XXS[part[i]]) | spread_bits(even_signs((signs >> (7 * i)) & 127)) << 2, codes);
    }
  }
}

void read_iq2_xs(const std::uint8_t* block, std::uint8_t* codes) {
  for (const std::uint8_t* at = block + 2; at != block + 66; at += 2, codes += 8) {
    const unsigned word = load_unaligned<std::uint16_t>(at);
    store(spread_pairs(kGrid2XS[word & 511]) | spread_bits(even_signs(word >> 9)) << 2, codes);
  }
}

void read_iq2_s(const std::uint8_t* block, std::uint8_t* codes) {
  const std::uint8_t* low = block + 2;
  const std::uint8_t* signs = block + 34;
  const std::uint8_t* high = block + 66;
  for (std::size_t i = 0; i < kSuperBlock / 8; ++i, codes += 8) {
    const std::size_t index = low[i] | ((high[i / 4] >> (i % 4 * 2)) & 3u) << 8;
    store(spread_pairs(kGrid2S[index]) | spread_bits(signs[i]) << 2, codes);
  }
}

void read_iq3_xxs(const std::uint8_t* block, std::uint8_t* codes) {
  const std::uint8_t* index = block + 2;
  for (const std::uint8_t* at = block + 66; at != block + 98; at += 4) {
    const auto signs = load_unaligned<std::uint32_t>(at);
    for (unsigned i = 0; i < 4; ++i, index += 2, codes += 8) {
      const Eight magnitudes = spread_threes(kGrid3XXS[index[0]]) | spread_threes(kGrid3XXS[index[1]]) << 32;
      store(magnitudes | spread_bits(even_signs((signs >> (7 * i)) & 127)) << 3, codes);
    }
  }
}

void read_iq3_s(const std::uint8_t* block, std::uint8_t* codes) {
  const std::uint8_t* low = block + 2;
  const std::uint8_t* high = block + 66;
  const std::uint8_t* signs = block + 74;
  const auto four = [&](std::size_t i) {
    return spread_threes(kGrid3S[low[i] | ((high[i / 8] >> (i % 8)) & 1u) << 8]);
  };
  for (std::size_t i = 0; i < kSuperBlock / 8; ++i, codes += 8) {
    store(four(2 * i) | four(2 * i + 1) << 32 | spread_bits(signs[i]) << 3, codes);
  }
}

// Values are 1 above the grid's, or 1 below it: then code and scale are turned around, see decode_inner_scales().
void read_iq1_s(const std::uint8_t* block, std::uint8_t* codes) {
  for (std::size_t i = 0; i < kSuperBlock / 8; ++i, codes += 8) {
    const unsigned word = load_unaligned<std::uint16_t>(block + 34 + i / 4 * 2);
    const Eight point = spread_pairs(kGrid1[block[2 + i] | ((word >> (i % 4 * 3)) & 7u) << 8]);
    store((word & 0x8000) != 0 ? 2 * kOnes - point : point, codes);
  }
}

// The same, but it may be below for any eight: their codes have a bit more.
void read_iq1_m(const std::uint8_t* block, std::uint8_t* codes) {
  for (std::size_t i = 0; i < kSuperBlock / 8; ++i, codes += 8) {
    const unsigned high = block[32 + i / 2] >> (i % 2 * 4);
    const Eight point = spread_pairs(kGrid1[block[i] | (high & 7u) << 8]);
    store(point | ((high & 8u) != 0 ? 4 * kOnes : 0), codes);
  }
}

// Bytes hold digits as a fraction of 256, the first digit highest: times 3 it moves beyond the byte.
std::uint8_t* read_digits(const std::uint8_t* bytes, std::size_t count, int digits, std::uint8_t* codes) {
  std::array<std::uint8_t, 32> rest;
  std::memcpy(rest.data(), bytes, count);
  for (int digit = 0; digit < digits; ++digit) {
    for (std::size_t i = 0; i < count; ++i, ++codes) {
      const unsigned tripled = rest[i] * 3u;
      *codes = static_cast<std::uint8_t>(tripled >> 8);
      rest[i] = static_cast<std::uint8_t>(tripled);
    }
  }
  return codes;
}

void read_tq1_0(const std::uint8_t* block, std::uint8_t* codes) {
  codes = read_digits(block, 32, 5, codes);
  codes = read_digits(block + 32, 16, 5, codes);
  read_digits(block + 48, 4, 4, codes);
}

}  // namespace

void read_points(TensorType type, const std::uint8_t* block, std::uint8_t* codes) {
  switch (type) {
    case TensorType::IQ2_XXS:
      return read_iq2_xxs(block, codes);
    case TensorType::IQ2_XS:
      return read_iq2_xs(block, codes);
    case TensorType::IQ2_S:
      return read_iq2_s(block, codes);
    case TensorType::IQ3_XXS:
      return read_iq3_xxs(block, codes);
    case TensorType::IQ3_S:
      return read_iq3_s(block, codes);
    case TensorType::IQ1_S:
      return read_iq1_s(block, codes);
    case TensorType::IQ1_M:
      return read_iq1_m(block, codes);
    case TensorType::TQ1_0:
      return read_tq1_0(block, codes);
    default:
      return;  // codes in planes
  }
}

}  // namespace engine::quant
