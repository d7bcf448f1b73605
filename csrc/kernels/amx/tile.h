#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/gemm/matrix.h"
#include "kernels/gemm/panel.h"

// Tiles of 16 rows of 64 bytes. A product of two of them adds, for 16 tokens and the 16 output rows of a group, the
// products of 64 inputs to 32-bit sums: tokens' codes lie in rows, weights in lines of four inputs, as packed groups
// have them. Tiles 0 to 3 are sums, 4 and 5 codes, 6 and 7 weights; instructions know them by numbers alone. In an
// anonymous namespace, as all that is compiled for an instruction set.
namespace engine::kernels::amx {
namespace {

inline constexpr std::size_t kTiles = 8;
inline constexpr std::size_t kTileBytes = kTileRows * kLineBytes;

// The sums of a tile in memory: a token a row, an output row a lane.
class TileSums {
 public:
  std::int32_t* data() { return sums_.data(); }
  [[gnu::always_inline]] __m512i row(std::size_t token) const {
    return _mm512_load_si512(sums_.data() + token * kGroupRows);
  }

 private:
  alignas(kLineBytes) std::array<std::int32_t, kTileRows * kGroupRows> sums_;
};

// Products with 16 tokens are made in four parts, and added in four: a part of the one can go on beside a part of the
// other, of the tokens before.
inline constexpr std::size_t kParts = 4;
inline constexpr std::size_t kPartTokens = kTileRows / kParts;

// What tile instructions read is in memory, and what they wrote is read again: the compiler does not see that they do.
[[gnu::always_inline]] inline void settle_memory() { __asm__ volatile("" ::: "memory"); }

// Calls body() with tiles that it may use. Once released they cost a thread's switches nothing.
template <typename Body>
void with_tiles(const Body& body) {
  struct alignas(kLineBytes) Configuration {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::array<std::uint8_t, 14> reserved{};
    std::array<std::uint16_t, 16> row_bytes{};
    std::array<std::uint8_t, 16> rows{};
  } configuration;
  std::fill_n(configuration.row_bytes.begin(), kTiles, static_cast<std::uint16_t>(kLineBytes));
  std::fill_n(configuration.rows.begin(), kTiles, static_cast<std::uint8_t>(kTileRows));
  settle_memory();
  _tile_loadconfig(&configuration);
  body();
  _tile_release();
}

}  // namespace
}  // namespace engine::kernels::amx
