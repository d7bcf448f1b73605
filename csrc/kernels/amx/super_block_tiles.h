#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/amx/tile.h"
#include "kernels/avx512/product_lanes.h"
#include "kernels/gemm/strip.h"
#include "kernels/gemm/unroll.h"

namespace engine::kernels::amx {
namespace {

// A super-block of a group, ready for tiles: weights times their inner scales, whole numbers of up to 14 bits, as
// 128 * high + low. Inputs are 8 * high + low in their planes, so that the four sums of products of planes hold a whole
// super-block's, whatever inner scales and multipliers its parts have. Types whose numbers are bytes have one plane.
template <TensorType kType>
class SuperBlockTiles {
 public:
  using Unit = SuperBlockUnit<kType>;
  static constexpr bool kMinimum = Unit::kMinimum;
  static constexpr std::size_t kProductInputs = quant::kSuperBlock / kParts;
  static constexpr int kOffset = gguf::kTraits<kType>.code_offset;
  // The largest weight of all codes and inner scales, and the planes that it takes.
  static constexpr int kLargest =
      std::max(gguf::kTraits<kType>.largest_code() - kOffset, kOffset) * gguf::kTraits<kType>.inner_scales.largest;
  static constexpr std::size_t kPlanes = kLargest <= INT8_MAX ? 1 : 2;
  using Sums = std::array<TileSums, 2 * kPlanes>;

  void unpack(const std::byte* packed, std::size_t b) {
    const PackedSuperBlocks<Simd, kType> source(packed, 0);
    unroll_late<8>([&](std::size_t j) __attribute__((always_inline)) {
      source.fetch_ahead(b, j);
      unroll<8>([&](auto g) {
        const __m512i scale = source.template factor<g / 4 % kHalves<kType>>(b, j);
        store_line(source.template codes<g>(b, j), Simd::pair(scale, scale), (8 * j + g) * kLineBytes);
      });
    });
    if constexpr (kMinimum) {
      unroll<kSumPairs<kType>>([&](auto pair) { sum_factors_[pair] = source.sum_factors(b, pair); });
      minimum_ = source.minimum(b);
    }
    scale_ = source.scale(b);
  }

  // A part of the products with 16 tokens, the first of them `token`: a quarter of the inputs.
  template <std::size_t kPart>
  [[gnu::always_inline]] void multiply(const Activations& input, std::size_t b, std::size_t token, Sums& sums) const {
    const std::size_t stride = plane_stride(input.columns);
    const std::int8_t* planes = input.planes + token * stride + 2 * (b * quant::kSuperBlock + kPart * kProductInputs);
    settle_memory();
    if constexpr (kPart == 0) clear_sums();
    multiply_planes(planes, stride, planes_.data() + kPart * kTileBytes);
    if constexpr (kPart + 1 == kParts) store_sums(sums);
    settle_memory();
  }

  // Adds a part of the products to those in memory, and of minimums: four tokens.
  template <std::size_t kPart>
  [[gnu::always_inline]] void add(const Activations& input, std::size_t b, std::size_t token, const Sums& sums,
                                  float* products, float* minimums) const {
    const std::size_t blocks = input.columns / quant::kSuperBlock;
    unroll<kPartTokens>([&](auto i) __attribute__((always_inline)) {
      constexpr std::size_t kRow = kPart * kPartTokens + i;
      const std::size_t at = (token + kRow) * blocks + b;
      const __m512 input_scale = _mm512_set1_ps(input.scales[at]);
      add_row(products + kRow * kGroupRows, _mm512_mul_ps(scale_, input_scale), sum_of(sums, kRow));
      if constexpr (kMinimum) {
        const std::int16_t* input_sums = Unit::kScaleInputs == 16 ? input.half_sums : input.part_sums;
        input_sums += at * 2 * kSumPairs<kType>;
        __m512i least = _mm512_setzero_si512();
        unroll<kSumPairs<kType>>([&](auto pair) __attribute__((always_inline)) {
          least = Simd::add_pairs(least, sum_factors_[pair], Simd::broadcast4(input_sums + 2 * pair));
        });
        add_row(minimums + kRow * kGroupRows, _mm512_mul_ps(minimum_, input_scale), least);
      }
    });
  }

 private:
  using Simd = avx512::Simd;
  static constexpr int kLowBits = 7;
  static constexpr std::size_t kPlaneBytes = quant::kSuperBlock * kGroupRows;

  void store_line(__m512i codes, __m512i scales, std::size_t at) {
    const __m512i offset = _mm512_set1_epi16(kOffset);
    const __m512i even = _mm512_sub_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(0xFF)), offset);
    const __m512i odd = _mm512_sub_epi16(_mm512_srli_epi16(codes, 8), offset);
    store_planes(_mm512_mullo_epi16(even, scales), _mm512_mullo_epi16(odd, scales), at);
  }

  void store_planes(__m512i even, __m512i odd, std::size_t at) {
    const auto bytes = [](__m512i low, __m512i high) {
      return _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAA, low, _mm512_slli_epi16(high, 8));
    };
    if constexpr (kPlanes == 1) {
      Simd::store(planes_.data() + at, bytes(even, odd));
      return;
    }
    // The low part is from -64 to 63.
    const __m512i half = _mm512_set1_epi16(1 << (kLowBits - 1));
    even = _mm512_add_epi16(even, half);
    odd = _mm512_add_epi16(odd, half);
    const __m512i low = _mm512_and_si512(bytes(even, odd), _mm512_set1_epi8((1 << kLowBits) - 1));
    Simd::store(planes_.data() + at, bytes(_mm512_srai_epi16(even, kLowBits), _mm512_srai_epi16(odd, kLowBits)));
    Simd::store(planes_.data() + kPlaneBytes + at, _mm512_sub_epi8(low, _mm512_set1_epi8(1 << (kLowBits - 1))));
  }

  // High and low inputs by high weights are in tiles 0 and 1, by low ones in 2 and 3.
  [[gnu::always_inline]] static void clear_sums() {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kPlanes == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  [[gnu::always_inline]] static void multiply_planes(const std::int8_t* inputs, std::size_t stride,
                                                     const std::byte* weights) {
    _tile_loadd(6, weights, kLineBytes);
    _tile_loadd(4, inputs, stride);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(5, inputs + kProductInputs, stride);
    _tile_dpbssd(1, 5, 6);
    if constexpr (kPlanes == 2) {
      _tile_loadd(7, weights + kPlaneBytes, kLineBytes);
      _tile_dpbssd(2, 4, 7);
      _tile_dpbssd(3, 5, 7);
    }
  }
  [[gnu::always_inline]] static void store_sums(Sums& sums) {
    _tile_stored(0, sums[0].data(), kLineBytes);
    _tile_stored(1, sums[1].data(), kLineBytes);
    if constexpr (kPlanes == 2) {
      _tile_stored(2, sums[2].data(), kLineBytes);
      _tile_stored(3, sums[3].data(), kLineBytes);
    }
  }

  [[gnu::always_inline]] static __m512i sum_of(const Sums& sums, std::size_t token) {
    const auto of_plane = [&](std::size_t i) __attribute__((always_inline)) {
      return _mm512_add_epi32(_mm512_slli_epi32(sums[i].row(token), kMaxShift), sums[i + 1].row(token));
    };
    if constexpr (kPlanes == 1) return of_plane(0);
    return _mm512_add_epi32(_mm512_slli_epi32(of_plane(0), kLowBits), of_plane(2));
  }

  [[gnu::always_inline]] static void add_row(float* row, __m512 factor, __m512i integers) {
    _mm512_store_ps(row, _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(integers), _mm512_load_ps(row)));
  }

  alignas(kLineBytes) std::array<std::byte, kPlanes * kPlaneBytes> planes_;
  std::array<__m512i, kSumPairs<kType>> sum_factors_;
  __m512 scale_;
  __m512 minimum_;
};

}  // namespace
}  // namespace engine::kernels::amx
