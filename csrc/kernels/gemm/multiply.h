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

// Floats: strips and tokens are multiplied side by side, each in its own order, to hide the latency of the addition.
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

template <typename Simd, TensorType kType, typename Source, std::size_t kTokens, std::size_t kStrips>
Tile<typename Simd::Float, kStrips, kTokens> multiply_blocks(const std::array<Source, kStrips>& strips,
                                                             const Activations& input, std::size_t first_token) {
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
        const auto dot = Simd::shift_lanes(Simd::template close<kType>(dots[s][t]), input.shifts + at[t] * 2 + part);
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

// Adds 32 inputs of a super-block.
template <typename Simd, TensorType kType, typename Source, std::size_t kTokens, std::size_t kStrips>
[[gnu::always_inline]] inline void add_sub_block(const std::array<Source, kStrips>& strips, std::size_t b,
                                                 std::size_t j, const std::array<const std::int8_t*, kTokens>& x,
                                                 const std::array<const std::int32_t*, kTokens>& shifts,
                                                 Tile<typename Simd::Integer, kStrips, kTokens>& sums) {
  using Integers = Tile<typename Simd::Integer, kStrips, kTokens>;
  // Sums end where their factor does, or where they would overflow.
  constexpr std::size_t kFactorGroups = SuperBlockUnit<kType>::kScaleInputs / kLineInputs;
  constexpr std::size_t kChain = std::min<std::size_t>(Simd::template kChain<kType>, kFactorGroups);
  Integers parts;
  unroll<8 / kChain>([&](auto c) __attribute__((always_inline)) {
    Integers dots;
    unroll<kChain>([&](auto i) __attribute__((always_inline)) {
      constexpr std::size_t kGroup = c * kChain + i;
      std::array<typename Simd::Integer, kStrips> codes;
      unroll<kStrips>([&](auto s) { codes[s] = strips[s].template codes<kGroup>(b, j); });
      add_group<Simd, kType, i == 0>(dots, codes, x, (8 * j + kGroup) * kLineInputs);
    });
    unroll<kStrips>([&](auto s) __attribute__((always_inline)) {
      const auto factor = strips[s].template factor<c * kChain / 4 % (8 / kFactorGroups)>(b, j);
      unroll<kTokens>([&](auto t) __attribute__((always_inline)) {
        const auto part = Simd::close(dots[s][t], factor);
        parts[s][t] = c == 0 ? part : Simd::add(parts[s][t], part);
      });
    });
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
Tile<typename Simd::Float, kStrips, kTokens> multiply_super_blocks(const std::array<Source, kStrips>& strips,
                                                                   const Activations& input, std::size_t first_token) {
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
    Source::for_sub_blocks(b, [&](std::size_t from, std::size_t j) __attribute__((always_inline)) {
      strips[0].fetch_ahead(from, j);
      add_sub_block<Simd, kType>(strips, from, j, x, shifts, sums);
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
    const std::size_t end = group_end * kStripsPerGroup;
    if constexpr (gguf::kTraits<kType>.is_float()) {
      multiply_float_columns(token_rows, group_begin * kStripsPerGroup, end);
    } else if (token_rows < Simd::template kUnpackFrom<kType>) {
      multiply_packed(token_rows, group_begin, group_end);
    } else {
      multiply_unpacked(token_rows, group_begin * kStripsPerGroup, end, scratch);
    }
  }

 private:
  using Packed = FetchingStrip<std::conditional_t<gguf::kTraits<kType>.is_super_block(), PackedSuperBlocks<Simd, kType>,
                                                  PackedBlocks<Simd, kType>>>;
  using Unpacked = std::conditional_t<gguf::kTraits<kType>.is_super_block(), UnpackedSuperBlocks<Simd, kType>,
                                      UnpackedBlocks<Simd, kType>>;
  static constexpr std::size_t kStripsPerGroup = kGroupRows / Simd::kLanes;
  // Groups that are unpacked together.
  static constexpr std::size_t kUnpackedGroups = std::max<std::size_t>(Simd::kTileStrips / kStripsPerGroup, 1);

  // Floats: every tile reads the packed weights.
  void multiply_float_columns(std::size_t token_rows, std::size_t strip, std::size_t strip_end) const {
    for (; strip + kFloatChains <= strip_end; strip += kFloatChains) {
      multiply_float_strips<kFloatChains>(token_rows, strip);
    }
    if constexpr (kStripsPerGroup % kFloatChains != 0) {
      for (; strip < strip_end; ++strip) multiply_float_strips<1>(token_rows, strip);
    }
  }

  template <std::size_t kStrips>
  void multiply_float_strips(std::size_t token_rows, std::size_t strip) const {
    const auto source_of = [&](std::size_t s) {
      return FloatColumns<Simd, kType>(packed_group(s), s % kStripsPerGroup);
    };
    const auto sources = make_sources<kStrips>(strip, source_of);
    std::size_t t = 0;
    for (; t + kFloatTokens <= token_rows; t += kFloatTokens) multiply_tile<kFloatTokens>(sources, strip, t);
    for (; t < token_rows; ++t) multiply_tile<1>(sources, strip, t);
  }

  // Few tokens, from packed weights. The next group is fetched evenly meanwhile.
  void multiply_packed(std::size_t token_rows, std::size_t group, std::size_t group_end) const {
    const std::size_t tiles = token_rows == 1 ? 1 : kStripsPerGroup * divide_up(token_rows, Simd::kPackedTile);
    for (; group < group_end; ++group) {
      const std::size_t strip = group * kStripsPerGroup;
      const std::byte* packed = packed_group(strip);
      const std::size_t bytes = group + 1 < group_end ? group_bytes_ : 0;
      Upcoming upcoming(packed + group_bytes_, bytes, tiles * (input_.columns / quant::kBlock));
      const auto source_of = [&](std::size_t s) { return Packed(packed, s % kStripsPerGroup, upcoming); };
      if (token_rows == 1) {
        multiply_tile<1>(make_sources<kStripsPerGroup>(strip, source_of), strip, 0);
        continue;
      }
      // One strip at a time: a tile of all would not fit the registers.
      for (std::size_t s = strip; s < strip + kStripsPerGroup; ++s) {
        const std::array source{source_of(s)};
        for (std::size_t t = 0; t < token_rows;) t += multiply_some(source, s, t, token_rows - t);
      }
    }
  }

  // Multiplies 2 to kPackedTile of the tokens that are left, 2 or more, and leaves none or 2 or more; how many it took.
  std::size_t multiply_some(const std::array<Packed, 1>& source, std::size_t strip, std::size_t token,
                            std::size_t left) const {
    const std::size_t most = left == Simd::kPackedTile + 1 ? Simd::kPackedTile - 1 : Simd::kPackedTile;
    const std::size_t count = std::min(left, most);
    unroll<Simd::kPackedTile - 1>([&](auto i) {
      if (count == i + 2) multiply_tile<i + 2>(source, strip, token);
    });
    return count;
  }

  void multiply_unpacked(std::size_t token_rows, std::size_t strip, std::size_t strip_end, std::byte* scratch) const {
    const std::size_t bytes = unpacked_group_bytes();
    const std::size_t step = kUnpackedGroups * kStripsPerGroup;
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
      std::size_t s = strip;
      for (; s + Simd::kTileStrips <= end; s += Simd::kTileStrips) {
        multiply_strips(make_sources<Simd::kTileStrips>(s, source_of), token_rows, s);
      }
      if constexpr (kStripsPerGroup % Simd::kTileStrips != 0) {
        for (; s < end; ++s) multiply_strips(make_sources<1>(s, source_of), token_rows, s);
      }
    }
  }

  template <typename Source, std::size_t kStrips>
  void multiply_strips(const std::array<Source, kStrips>& sources, std::size_t token_rows, std::size_t strip) const {
    std::size_t t = 0;
    for (; t + Simd::kTile <= token_rows; t += Simd::kTile) multiply_tile<Simd::kTile>(sources, strip, t);
    for (; t < token_rows; ++t) multiply_tile<1>(sources, strip, t);
  }

  template <std::size_t kTokens, typename Source, std::size_t kStrips>
  void multiply_tile(const std::array<Source, kStrips>& sources, std::size_t strip, std::size_t token) const {
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

  static constexpr std::size_t kFloatTokens = 2;

  const Matrix& matrix_;
  const Activations& input_;
  std::size_t group_bytes_;
  float* out_;
  std::size_t out_stride_;
};

}  // namespace
}  // namespace engine::kernels
