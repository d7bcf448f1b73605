#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/checked.h"
#include "kernels/gemm/lane_set.h"
#include "kernels/gemm/panel.h"
#include "kernels/gemm/strip.h"
#include "kernels/gemm/unroll.h"
#include "quant/block.h"

// Matrix products written once for every vector instruction set. In an anonymous namespace, so that each object has its
// own copy, compiled for its own instruction set.
namespace engine::kernels {
namespace {

// Floats: sums of strips and tokens are added to side by side, each in its own order, to hide the latency of addition.
inline constexpr std::size_t kFloatChains = 8;

// Sums of kStrips strips for kTokens tokens.
template <typename Register, std::size_t kStrips, std::size_t kTokens>
using Tile = std::array<std::array<Register, kTokens>, kStrips>;

template <std::size_t kStrips, std::size_t kTokens, typename Body>
[[gnu::always_inline]] inline void unroll_tile(Body&& body) {
  unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
    unroll<kTokens>([&](auto t) __attribute__((always_inline)) { body(s, t); });
  });
}

// Adds the products of one group of 4 inputs to every sum; kFirst begins new sums.
template <typename Simd, TensorType kType, bool kFirst, std::size_t kStrips, std::size_t kTokens>
[[gnu::always_inline]] inline void add_group(Tile<typename Simd::Integer, kStrips, kTokens>& sums,
                                             const std::array<typename Simd::Integer, kStrips>& codes,
                                             const std::array<const std::int8_t*, kTokens>& x, std::size_t at) {
  unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
    const auto inputs = Simd::broadcast4(x[t] + at);
    unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
      sums[s][t] = Simd::template add_products<kType>(kFirst ? Simd::zero() : sums[s][t], codes[s], inputs);
    });
  });
}

// Inlined, as all of a tile is: what is constant about its sources, strips that lie side by side, stays so.
template <typename Simd, TensorType kType, typename Source, std::size_t kTokens, std::size_t kStrips>
[[gnu::always_inline]] inline Tile<typename Simd::Float, kStrips, kTokens> multiply_blocks(
    const std::array<Source, kStrips>& strips, const Activations& input, std::size_t first_token) {
  using Unit = BlockUnit<kType>;
  using Integers = Tile<typename Simd::Integer, kStrips, kTokens>;
  constexpr int kOffset = kAdded<Simd, kType>;
  static_assert(Simd::template kChain<kType> >= 4);
  const std::size_t blocks = input.columns / quant::kBlock;
  Tile<typename Simd::Float, kStrips, kTokens> products;
  unroll_tile<kStrips, kTokens>([&](auto s, auto t) { products[s][t] = Simd::zero_float(); });
  for (std::size_t b = 0; b < blocks; ++b) {
    std::array<std::size_t, kTokens> at;
    std::array<const std::int8_t*, kTokens> x;
    unroll<kTokens>([&](auto t) {
      at[t] = (first_token + t) * blocks + b;
      x[t] = input.codes + at[t] * quant::kBlock;
    });
    strips[0].fetch_ahead(b);
    Integers sums;
    unroll<2>([&](auto part) __attribute__((always_inline)) {
      Integers dots;
      unroll<4>([&](auto i) __attribute__((always_inline)) {
        constexpr std::size_t kGroup = 4 * part + i;
        std::array<typename Simd::Integer, kStrips> codes;
        unroll<kStrips>([&](auto s) { codes[s] = strips[s].template codes<kGroup>(b); });
        add_group<Simd, kType, i == 0>(dots, codes, x, kGroup * kLineInputs);
      });
      unroll_tile<kStrips, kTokens>([&](auto s, auto t) __attribute__((always_inline)) {
        const auto dot = Simd::template close_shifted<kType>(dots[s][t], input.shifts + at[t] * 2 + part);
        sums[s][t] = part == 0 ? dot : Simd::add(sums[s][t], dot);
      });
    });
    if constexpr (kOffset != 0) {
      unroll_tile<kStrips, kTokens>([&](auto s, auto t) __attribute__((always_inline)) {
        const auto offset = Simd::template multiply_lanes<kOffset>(Simd::broadcast(input.block_sums + at[t]));
        sums[s][t] = Simd::subtract(sums[s][t], offset);
      });
    }
    std::array<typename Simd::Float, kStrips> scales;
    unroll<kStrips>([&](auto s) { scales[s] = strips[s].scale(b); });
    unroll_tile<kStrips, kTokens>([&](auto s, auto t) __attribute__((always_inline)) {
      const auto scale = Simd::multiply(scales[s], Simd::broadcast(input.scales + at[t]));
      products[s][t] = Simd::fused(scale, Simd::to_float(sums[s][t]), products[s][t]);
    });
  }
  if constexpr (Unit::kMinimum) {
    Tile<typename Simd::Float, kStrips, kTokens> minimums;
    unroll_tile<kStrips, kTokens>([&](auto s, auto t) { minimums[s][t] = Simd::zero_float(); });
    for (std::size_t b = 0; b < blocks; ++b) {
      unroll<kStrips>([&](auto s) {
        const auto minimum = strips[s].minimum(b);
        unroll<kTokens>([&](auto t) {
          const float* sum = input.scaled_sums + (first_token + t) * blocks + b;
          minimums[s][t] = Simd::fused(minimum, Simd::broadcast(sum), minimums[s][t]);
        });
      });
    }
    unroll_tile<kStrips, kTokens>([&](auto s, auto t) { products[s][t] = Simd::add(products[s][t], minimums[s][t]); });
  }
  return products;
}

// Closed sums of 32 inputs of a super-block. A sum ends where its factor does, or where it would overflow.
template <typename Simd, TensorType kType>
struct SubBlockChains {
  static constexpr std::size_t kFactorGroups = SuperBlockUnit<kType>::kScaleInputs / kLineInputs;
  static constexpr std::size_t kGroups = std::min<std::size_t>(Simd::template kChain<kType>, kFactorGroups);
  static constexpr std::size_t kCount = 8 / kGroups;
  // Short sums are closed one by one, each before the next begins: codes of a few groups and all closed sums then fit
  // the registers.
  static constexpr bool kShort = kGroups <= 2;

  // Of the chain's sums, the factor's number within the sub-block.
  static constexpr std::size_t factor(std::size_t chain) { return chain * kGroups / 4 % (8 / kFactorGroups); }
};

// Adds the chain's closed sums to parts, or begins them.
template <typename Simd, TensorType kType, std::size_t kChain, typename J, typename Source, std::size_t kTokens,
          std::size_t kStrips>
[[gnu::always_inline]] inline void add_chain(const std::array<Source, kStrips>& strips, std::size_t b, J j,
                                             const std::array<const std::int8_t*, kTokens>& x,
                                             Tile<typename Simd::Integer, kStrips, kTokens>& parts) {
  using Chains = SubBlockChains<Simd, kType>;
  Tile<typename Simd::Integer, kStrips, kTokens> dots;
  unroll<Chains::kGroups>([&](auto i) __attribute__((always_inline)) {
    constexpr std::size_t kGroup = kChain * Chains::kGroups + i;
    std::array<typename Simd::Integer, kStrips> codes;
    unroll<kStrips>([&](auto s) { codes[s] = strips[s].template codes<kGroup>(b, j); });
    add_group<Simd, kType, i == 0>(dots, codes, x, (8 * j + kGroup) * kLineInputs);
  });
  unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
    const auto factor = strips[s].template factor<Chains::factor(kChain)>(b, j);
    unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
      const auto part = Simd::close(dots[s][t], factor);
      parts[s][t] = kChain == 0 ? part : Simd::add(parts[s][t], part);
    });
  });
}

// The same, one token after another.
template <typename Simd, TensorType kType, std::size_t kChain, typename J, typename Source, std::size_t kTokens,
          std::size_t kStrips>
[[gnu::always_inline]] inline void add_short_chain(const std::array<Source, kStrips>& strips, std::size_t b, J j,
                                                   const std::array<const std::int8_t*, kTokens>& x,
                                                   Tile<typename Simd::Integer, kStrips, kTokens>& parts) {
  using Chains = SubBlockChains<Simd, kType>;
  constexpr std::size_t kFirst = kChain * Chains::kGroups;
  Tile<typename Simd::Integer, kStrips, Chains::kGroups> codes;
  std::array<typename Simd::Integer, kStrips> factors;
  unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
    unroll<Chains::kGroups>([&](auto i) { codes[s][i] = strips[s].template codes<kFirst + i>(b, j); });
    factors[s] = strips[s].template factor<Chains::factor(kChain)>(b, j);
  });
  unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
    std::array<typename Simd::Integer, Chains::kGroups> inputs;
    unroll<Chains::kGroups>([&](auto i) { inputs[i] = Simd::broadcast4(x[t] + (8 * j + kFirst + i) * kLineInputs); });
    unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
      auto dot = Simd::zero();
      unroll<Chains::kGroups>([&](auto i) __attribute__((always_inline)) {
        dot = Simd::template add_products<kType>(dot, codes[s][i], inputs[i]);
      });
      const auto part = Simd::close(dot, factors[s]);
      parts[s][t] = kChain == 0 ? part : Simd::add(parts[s][t], part);
    });
  });
}

// Adds 32 inputs of a super-block.
template <typename Simd, TensorType kType, typename J, typename Source, std::size_t kTokens, std::size_t kStrips>
[[gnu::always_inline]] inline void add_sub_block(const std::array<Source, kStrips>& strips, std::size_t b, J j,
                                                 const std::array<const std::int8_t*, kTokens>& x,
                                                 const std::array<const std::int32_t*, kTokens>& shifts,
                                                 Tile<typename Simd::Integer, kStrips, kTokens>& sums) {
  using Chains = SubBlockChains<Simd, kType>;
  Tile<typename Simd::Integer, kStrips, kTokens> parts;
  unroll<Chains::kCount>([&](auto c) __attribute__((always_inline)) {
    if constexpr (Chains::kShort) {
      add_short_chain<Simd, kType, c>(strips, b, j, x, parts);
    } else {
      add_chain<Simd, kType, c>(strips, b, j, x, parts);
    }
  });
  unroll_tile<kStrips, kTokens>([&](auto s, auto t) __attribute__((always_inline)) {
    sums[s][t] = Simd::add(sums[s][t], Simd::shift_lanes(parts[s][t], shifts[t] + j));
  });
}

// Whether the widest sum of a super-block's products fits 32 bits, with the offset that is subtracted in the end.
template <TensorType kType>
constexpr bool fits_sums() {
  constexpr std::int64_t kLargestInput = std::int64_t{127} << kMaxShift;
  constexpr std::int64_t kLargestWeight =
      gguf::kTraits<kType>.largest_code() * gguf::kTraits<kType>.inner_scales.largest;
  return quant::kSuperBlock * kLargestWeight * kLargestInput <= INT32_MAX;
}

template <typename Simd, TensorType kType, typename Source, std::size_t kTokens, std::size_t kStrips>
[[gnu::always_inline]] inline Tile<typename Simd::Float, kStrips, kTokens> multiply_super_blocks(
    const std::array<Source, kStrips>& strips, const Activations& input, std::size_t first_token) {
  using Unit = SuperBlockUnit<kType>;
  static_assert(fits_sums<kType>());
  constexpr int kOffset = kAdded<Simd, kType>;
  const std::size_t blocks = input.columns / quant::kSuperBlock;
  Tile<typename Simd::Float, kStrips, kTokens> products;
  Tile<typename Simd::Float, kStrips, kTokens> minimums;
  unroll_tile<kStrips, kTokens>([&](auto s, auto t) { products[s][t] = minimums[s][t] = Simd::zero_float(); });
  for (std::size_t b = 0; b < blocks; ++b) {
    std::array<const std::int8_t*, kTokens> x;
    std::array<const std::int32_t*, kTokens> shifts;
    unroll<kTokens>([&](auto t) {
      const std::size_t at = (first_token + t) * blocks + b;
      x[t] = input.codes + at * quant::kSuperBlock;
      shifts[t] = input.shifts + at * (quant::kSuperBlock / kSuperBlockPart);
    });
    Tile<typename Simd::Integer, kStrips, kTokens> sums;
    unroll_tile<kStrips, kTokens>([&](auto s, auto t) { sums[s][t] = Simd::zero(); });
    Source::for_sub_blocks([&](auto j) __attribute__((always_inline)) {
      strips[0].fetch_ahead(b, j);
      add_sub_block<Simd, kType>(strips, b, j, x, shifts, sums);
    });
    unroll_tile<kStrips, kTokens>([&](auto s, auto t) __attribute__((always_inline)) {
      const std::size_t at = (first_token + t) * blocks + b;
      auto least = Simd::zero();
      if constexpr (Unit::kMinimum || kOffset != 0) {
        const std::int16_t* input_sums = Unit::kScaleInputs == 16 ? input.half_sums : input.part_sums;
        input_sums += at * 2 * kSumPairs<kType>;
        unroll<kSumPairs<kType>>([&](auto pair) __attribute__((always_inline)) {
          least = Simd::add_pairs(least, strips[s].sum_factors(b, pair), Simd::broadcast4(input_sums + 2 * pair));
        });
      }
      auto sum = sums[s][t];
      if constexpr (kOffset != 0) sum = Simd::subtract(sum, Simd::template multiply_lanes<kOffset>(least));
      const auto input_scale = Simd::broadcast(input.scales + at);
      const auto scale = Simd::multiply(strips[s].scale(b), input_scale);
      products[s][t] = Simd::fused(scale, Simd::to_float(sum), products[s][t]);
      if constexpr (Unit::kMinimum) {
        const auto minimum = Simd::multiply(strips[s].minimum(b), input_scale);
        minimums[s][t] = Simd::fused(minimum, Simd::to_float(least), minimums[s][t]);
      }
    });
  }
  unroll_tile<kStrips, kTokens>(
      [&](auto s, auto t) { products[s][t] = Simd::subtract(products[s][t], minimums[s][t]); });
  return products;
}

// A strip of a group of floats.
template <typename Simd, TensorType kType>
class FloatColumns {
 public:
  FloatColumns(const std::byte* group, std::size_t strip) : at_(group + strip * Simd::kLanes * kElementBytes) {}

  typename Simd::Float column(std::size_t k) const {
    const std::byte* column = at_ + k * kGroupRows * kElementBytes;
    if constexpr (kType == TensorType::F32) return Simd::load_floats(column);
    if constexpr (kType == TensorType::F16) return Simd::load_halves(column);
    return Simd::load_bfloats(column);
  }

 private:
  static constexpr std::size_t kElementBytes = gguf::kTraits<kType>.block_bytes;

  const std::byte* at_;
};

template <typename Simd, TensorType kType, typename Source, std::size_t kTokens, std::size_t kStrips>
Tile<typename Simd::Float, kStrips, kTokens> multiply_floats(const std::array<Source, kStrips>& strips,
                                                             const Activations& input, std::size_t first_token) {
  Tile<typename Simd::Float, kStrips, kTokens> sums;
  unroll_tile<kStrips, kTokens>([&](auto s, auto t) { sums[s][t] = Simd::zero_float(); });
  const float* x = input.values + first_token * input.columns;
  for (std::size_t k = 0; k < input.columns; ++k) {
    std::array<typename Simd::Float, kStrips> weights;
    unroll<kStrips>([&](auto s) { weights[s] = strips[s].column(k); });
    unroll<kTokens>([&](auto t) {
      const auto value = Simd::broadcast(x + t * input.columns + k);
      unroll<kStrips>([&](auto s) { sums[s][t] = Simd::fused(weights[s], value, sums[s][t]); });
    });
  }
  return sums;
}

// A call of multiply(): consecutive strips of the matrix for consecutive tokens.
template <typename Simd, TensorType kType>
  requires ProductLanes<Simd, kType>
class Multiplication {
 public:
  Multiplication(const Matrix& matrix, const Activations& input, float* out, std::size_t out_stride)
      : matrix_(matrix),
        input_(input),
        group_bytes_(matrix.packed.size() / matrix.groups()),
        out_(out),
        out_stride_(out_stride) {}

  void run(std::size_t token_rows, std::size_t group_begin, std::size_t group_end, std::byte* scratch) const {
    const std::size_t strip = group_begin * kStripsPerGroup;
    const std::size_t strip_end = group_end * kStripsPerGroup;
    if constexpr (gguf::kTraits<kType>.is_float()) {
      multiply_columns(token_rows, strip, strip_end);
    } else if (token_rows < Simd::template kUnpackFrom<kType>) {
      multiply_packed(token_rows, strip, strip_end);
    } else {
      multiply_unpacked(token_rows, strip, strip_end, scratch);
    }
  }

 private:
  using Packed = std::conditional_t<gguf::kTraits<kType>.is_super_block(), PackedSuperBlocks<Simd, kType>,
                                    PackedBlocks<Simd, kType>>;
  using Unpacked = std::conditional_t<gguf::kTraits<kType>.is_super_block(), UnpackedSuperBlocks<Simd, kType>,
                                      UnpackedBlocks<Simd, kType>>;
  static constexpr std::size_t kStripsPerGroup = kGroupRows / Simd::kLanes;
  // Two groups are unpacked together, so that inputs are read half as often: where a tile takes strips of both, or
  // where both leave room in the second-nearest cache.
  static constexpr std::size_t kTileGroups = divide_up(Simd::kTileStrips, kStripsPerGroup);
  static constexpr std::size_t kNearBytes = 128 << 10;

  // Floats. The fewer tokens, the more strips, so that as many sums are added to side by side.
  void multiply_columns(std::size_t token_rows, std::size_t strip, std::size_t strip_end) const {
    const std::size_t widest = divide_up(token_rows, divide_up(token_rows, Simd::kTile));
    if (widest == 1) return multiply_columns<kFloatChains>(token_rows, strip, strip_end);
    if (widest == 2) return multiply_columns<kFloatChains / 2>(token_rows, strip, strip_end);
    multiply_columns<kFloatChains / 4>(token_rows, strip, strip_end);
  }

  template <std::size_t kStrips>
  void multiply_columns(std::size_t token_rows, std::size_t strip, std::size_t strip_end) const {
    const auto source_of = [&](std::size_t s) {
      return FloatColumns<Simd, kType>(packed_group(s), s % kStripsPerGroup);
    };
    for (; strip + kStrips <= strip_end; strip += kStrips) {
      multiply_strips(make_sources<kStrips>(strip, source_of), token_rows, strip);
    }
    for (; strip < strip_end; ++strip) multiply_strips(make_sources<1>(strip, source_of), token_rows, strip);
  }

  // Few tokens: every tile unpacks what it multiplies, and does not store it.
  void multiply_packed(std::size_t token_rows, std::size_t strip, std::size_t strip_end) const {
    for (; strip < strip_end; strip += kStripsPerGroup) {
      const std::byte* group = packed_group(strip);
      const auto multiply = [&](auto tokens, std::size_t token, std::size_t tile,
                                std::size_t tiles) __attribute__((noinline)) {
        const Fetching fetching(group_bytes_, tile, tiles);
        const auto sources =
            make_sources<kStripsPerGroup>(0, [&](std::size_t s) { return Packed(group, s, fetching); });
        multiply_tile<tokens>(sources, strip, token);
      };
      for_tiles(token_rows, multiply);
    }
  }

  void multiply_unpacked(std::size_t token_rows, std::size_t strip, std::size_t strip_end, std::byte* scratch) const {
    const std::size_t bytes = unpacked_group_bytes();
    const std::size_t step = (2 * bytes <= kNearBytes ? 2 : kTileGroups) * kStripsPerGroup;
    for (; strip < strip_end; strip += step) {
      const std::size_t end = std::min(strip + step, strip_end);
      for (std::size_t s = strip; s < end; s += kStripsPerGroup) {
        Unpacked::unpack(packed_group(s), input_.columns, scratch + (s - strip) / kStripsPerGroup * bytes);
      }
      const std::size_t tiles = divide_up(end - strip, Simd::kTileStrips) * divide_up(token_rows, Simd::kTile);
      Upcoming upcoming(packed_group(end), (std::min(end + step, strip_end) - end) / kStripsPerGroup * group_bytes_,
                        tiles * (input_.columns / quant::kBlock));
      const auto source_of = [&](std::size_t s) {
        return Unpacked(scratch + (s - strip) / kStripsPerGroup * bytes, s % kStripsPerGroup, upcoming);
      };
      const auto multiply = [&](auto tokens, std::size_t token, std::size_t /*tile*/, std::size_t /*tiles*/)
                                __attribute__((noinline)) {
                                  std::size_t s = strip;
                                  for (; s + Simd::kTileStrips <= end; s += Simd::kTileStrips) {
                                    multiply_tile<tokens>(make_sources<Simd::kTileStrips>(s, source_of), s, token);
                                  }
                                  if constexpr (kStripsPerGroup % Simd::kTileStrips != 0) {
                                    for (; s < end; ++s) multiply_tile<tokens>(make_sources<1>(s, source_of), s, token);
                                  }
                                };
      for_tiles(token_rows, multiply);
    }
  }

  template <typename Source, std::size_t kStrips>
  void multiply_strips(const std::array<Source, kStrips>& sources, std::size_t token_rows, std::size_t strip) const {
    for_tiles(token_rows, [&](auto tokens, std::size_t token, std::size_t /*tile*/, std::size_t /*tiles*/) {
      multiply_tile<tokens>(sources, strip, token);
    });
  }

  // Calls body(how many tokens, the first of them, the tile's number, of how many tiles): of no more tokens than a tile
  // may have, and all tiles alike but for one token. The number of tokens is a constant. Where a tile is long, each
  // width is best a function of its own: the compiler has registers to give to every one.
  template <typename Body>
  static void for_tiles(std::size_t token_rows, const Body& body) {
    const std::size_t tiles = divide_up(token_rows, Simd::kTile);
    std::size_t token = 0;
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const std::size_t count = divide_up(token_rows - token, tiles - tile);
      unroll<Simd::kTile>([&](auto less) {
        if (count == less + 1) body(std::integral_constant<std::size_t, less + 1>(), token, tile, tiles);
      });
      token += count;
    }
  }

  template <std::size_t kTokens, typename Source, std::size_t kStrips>
  [[gnu::always_inline]] void multiply_tile(const std::array<Source, kStrips>& sources, std::size_t strip,
                                            std::size_t token) const {
    Tile<typename Simd::Float, kStrips, kTokens> sums;
    if constexpr (gguf::kTraits<kType>.is_float()) {
      sums = multiply_floats<Simd, kType, Source, kTokens>(sources, input_, token);
    } else if constexpr (gguf::kTraits<kType>.is_super_block()) {
      sums = multiply_super_blocks<Simd, kType, Source, kTokens>(sources, input_, token);
    } else {
      sums = multiply_blocks<Simd, kType, Source, kTokens>(sources, input_, token);
    }
    unroll<kStrips>([&](auto s) {
      const std::size_t row = (strip + s) * Simd::kLanes;
      if (row >= matrix_.rows) return;
      const std::size_t rows = std::min(Simd::kLanes, matrix_.rows - row);
      unroll<kTokens>([&](auto t) { Simd::store_rows(out_ + (token + t) * out_stride_ + row, sums[s][t], rows); });
    });
  }

  // The sources of strips strip, strip + 1, ...
  template <std::size_t kStrips, typename SourceOf>
  static auto make_sources(std::size_t strip, const SourceOf& source_of) {
    return [&]<std::size_t... kS>(std::index_sequence<kS...>) {
      return std::array{source_of(strip + kS)...};
    }(std::make_index_sequence<kStrips>());
  }

  const std::byte* packed_group(std::size_t strip) const {
    return matrix_.packed.data() + strip / kStripsPerGroup * group_bytes_;
  }
  std::size_t unpacked_group_bytes() const {
    return input_.columns / gguf::kTraits<kType>.block_elements * Unpacked::kBytes;
  }

  const Matrix& matrix_;
  const Activations& input_;
  std::size_t group_bytes_;
  float* out_;
  std::size_t out_stride_;
};

}  // namespace
}  // namespace engine::kernels
