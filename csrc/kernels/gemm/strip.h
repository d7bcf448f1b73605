#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/checked.h"
#include "kernels/gemm/panel.h"
#include "kernels/gemm/unroll.h"
#include "quant/block.h"

// Where products find a strip of a group of quantized weights, kLanes of its 16 rows: in packed lines, or unpacked once
// for many tokens. `Simd` is a LaneSet.
namespace engine::kernels {
namespace {

using gguf::TensorType;

// Packed codes are read once, in an order that the processor does not foresee: units hold several planes. Groups follow
// each other, so what lies ahead is nearly always what comes next.
inline constexpr std::size_t kFetchAhead = 4096;

// The excess of multiplied codes over their values: 0 where the Simd takes signed bytes.
template <typename Simd, TensorType kType>
inline constexpr int kAdded =
    Simd::kSigned && gguf::kTraits<kType>.has_signed_bytes() ? 0 : gguf::kTraits<kType>.code_offset;

// The values that nibbles stand for, plus kAdded.
template <typename Simd, TensorType kType>
[[gnu::always_inline]] inline typename Simd::Integer look_up(typename Simd::Integer nibbles) {
  alignas(16) static constexpr std::array<std::uint8_t, 16> kTable = [] {
    std::array<std::uint8_t, 16> table{};
    for (std::size_t i = 0; i < 16; ++i) {
      table[i] = static_cast<std::uint8_t>(gguf::kTraits<kType>.codebook[i] + kAdded<Simd, kType>);
    }
    return table;
  }();
  return Simd::look_up(kTable.data(), nibbles);
}

// A strip of a packed group.
template <typename Simd, TensorType kType>
class PackedBlocks {
 public:
  using Unit = BlockUnit<kType>;
  static constexpr std::size_t kBytes = Unit::kBytes;  // two blocks of a group

  PackedBlocks(const std::byte* group, std::size_t strip) : at_(group), lane_(strip * Simd::kLanes) {}

  template <std::size_t kGroup>
  typename Simd::Integer codes(std::size_t b) const {
    const std::byte* block =
        at_ + b / 2 * kBytes + Unit::kCodesAt + b % 2 * Unit::kBlockCodeBytes + lane_ * kLineInputs;
    if constexpr (Unit::kByteLines) {
      return Simd::signed_if_wanted(Simd::load(block + kGroup * kLineBytes));
    } else {
      auto line = Simd::load(block + kGroup % 4 * kLineBytes);
      if constexpr (kGroup >= 4) line = Simd::shift_right(line, 4);
      line = Simd::both(line, Simd::fill(0x0F));
      if constexpr (Unit::kFiveBits) line = Simd::either(line, fifth_bit<kGroup>(block));
      if constexpr (Unit::kTraits.has_codebook()) line = look_up<Simd, kType>(line);
      return line;
    }
  }
  typename Simd::Float scale(std::size_t b) const { return halves(b, 0); }
  typename Simd::Float minimum(std::size_t b) const { return halves(b, Unit::kMinimumAt); }
  // Begins to fetch a block's share of what is read kFetchAhead later.
  void fetch_ahead(std::size_t b) const {
    if (lane_ != 0) return;
    const std::byte* line = at_ + b * kBytes / 2 + kFetchAhead;
    for (std::size_t i = 0; i < kBytes / 2; i += kLineBytes) __builtin_prefetch(line + i);
  }

 private:
  template <std::size_t kGroup>
  static typename Simd::Integer fifth_bit(const std::byte* block) {
    auto line = Simd::load(block + Unit::kFifthBitsAt);
    if constexpr (kGroup < 4) line = Simd::shift_left(line, 4 - kGroup);
    if constexpr (kGroup > 4) line = Simd::shift_right(line, kGroup - 4);
    return Simd::both(line, Simd::fill(0x10));
  }
  typename Simd::Float halves(std::size_t b, std::size_t part_at) const {
    const std::byte* numbers = at_ + b / 2 * kBytes + part_at + (b % 2 * kGroupRows + lane_) * sizeof(std::uint16_t);
    if constexpr (Unit::kTraits.scale_format == gguf::ScaleFormat::Exponent) return Simd::load_bfloats(numbers);
    return Simd::load_halves(numbers);
  }

  const std::byte* at_;
  std::size_t lane_;
};

// Packed groups to come, fetched while others are multiplied.
class Upcoming {
 public:
  // `calls`: how often fetch() will be called.
  Upcoming(const std::byte* begin, std::size_t bytes, std::size_t calls)
      : next_(begin), lines_(bytes / kLineBytes), lines_a_call_(divide_up(lines_, calls)) {}

  void fetch() {
    const std::size_t lines = std::min(lines_, lines_a_call_);
    // Not into the nearest cache: it is full.
    for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(next_ + i * kLineBytes, 0, 2);
    next_ += lines * kLineBytes;
    lines_ -= lines;
  }

 private:
  const std::byte* next_;
  std::size_t lines_;
  std::size_t lines_a_call_;
};

// A strip of a group after unpack(): for each block 8 lines of codes, a line of scales and, for some types, one of
// minimums.
template <typename Simd, TensorType kType>
class UnpackedBlocks {
 public:
  static constexpr std::size_t kScaleAt = 8 * kLineBytes;
  static constexpr std::size_t kMinimumAt = kScaleAt + kLineBytes;
  static constexpr std::size_t kBytes = kMinimumAt + (BlockUnit<kType>::kMinimum ? kLineBytes : 0);

  UnpackedBlocks(const std::byte* group, std::size_t strip, Upcoming& upcoming)
      : at_(group + strip * Simd::kLanes * kLineInputs), upcoming_(upcoming) {}

  template <std::size_t kGroup>
  typename Simd::Integer codes(std::size_t b) const {
    return Simd::load(at_ + b * kBytes + kGroup * kLineBytes);
  }
  typename Simd::Float scale(std::size_t b) const { return Simd::load_floats(at_ + b * kBytes + kScaleAt); }
  typename Simd::Float minimum(std::size_t b) const { return Simd::load_floats(at_ + b * kBytes + kMinimumAt); }
  void fetch_ahead(std::size_t /*b*/) const { upcoming_.fetch(); }

  [[gnu::always_inline]] static void unpack(const std::byte* packed, std::size_t columns, std::byte* target) {
    for (std::size_t strip = 0; strip < kGroupRows / Simd::kLanes; ++strip) {
      const PackedBlocks<Simd, kType> source(packed, strip);
      std::byte* block = target + strip * Simd::kLanes * kLineInputs;
      for (std::size_t b = 0; b < columns / quant::kBlock; ++b, block += kBytes) {
        source.fetch_ahead(b);
        unroll<8>([&](auto g) { Simd::store(block + g * kLineBytes, source.template codes<g>(b)); });
        Simd::store_floats(block + kScaleAt, source.scale(b));
        if constexpr (BlockUnit<kType>::kMinimum) Simd::store_floats(block + kMinimumAt, source.minimum(b));
      }
    }
  }

 private:
  const std::byte* at_;
  Upcoming& upcoming_;
};

// How many pairs of sums of inputs a super-block has: each of as many inputs as share an inner scale.
template <TensorType kType>
inline constexpr std::size_t kSumPairs = quant::kSuperBlock / SuperBlockUnit<kType>::kScaleInputs / 2;
// How many inner scales 32 inputs have.
template <TensorType kType>
inline constexpr std::size_t kHalves = 32 / SuperBlockUnit<kType>::kScaleInputs;

// A strip of a packed group of super-blocks. Inputs are taken 32 at a time, sub-block j in [0, 8), in two halves where
// 16 of them share a scale.
template <typename Simd, TensorType kType>
class PackedSuperBlocks {
 public:
  using Unit = SuperBlockUnit<kType>;
  using Integer = typename Simd::Integer;
  static constexpr std::size_t kBytes = Unit::kBytes;

  PackedSuperBlocks(const std::byte* group, std::size_t strip)
      : lane_(strip * Simd::kLanes), lines_(group + lane_ * kLineInputs), bytes_(group + lane_) {}

  // Calls body(b, j) for the sub-blocks of super-block b. They share lines, and reading one once more, as from another
  // b, is cheaper than to spill it.
  template <typename Body>
  [[gnu::always_inline]] static void for_sub_blocks(std::size_t b, Body&& body) {
    unroll_late<8>([&](std::size_t j) __attribute__((always_inline)) {
      __asm__ volatile("" : "+r"(b));
      body(b, j);
    });
  }
  template <std::size_t kGroup>
  [[gnu::always_inline]] Integer codes(std::size_t b, std::size_t j) const {
    const BitPlace place = Unit::place(Unit::kLow, j, kGroup);
    auto line = Simd::load(lines_ + b * kBytes + Unit::kCodesAt + place.line * kLineBytes);
    line = Simd::shift_right(line, place.bit);
    line = Simd::both(line, Simd::fill((1 << Unit::kTraits.low.bits) - 1));
    if constexpr (Unit::kTraits.high.bits != 0) line = Simd::either(line, high_bits<kGroup>(b, j));
    if constexpr (Unit::kTraits.has_codebook()) line = look_up<Simd, kType>(line);
    return line;
  }
  // The inner scale of one of the kHalves of sub-block j.
  template <std::size_t kHalf>
  [[gnu::always_inline]] Integer factor(std::size_t b, std::size_t j) const {
    return Simd::factor(inner_scale(b, kHalves<kType> * j + kHalf));
  }
  // What two sums of inputs are multiplied with: minimums, or else scales.
  Integer sum_factors(std::size_t b, std::size_t pair) const {
    if constexpr (Unit::kMinimum) return Simd::pair(inner_minimum(b, 2 * pair), inner_minimum(b, 2 * pair + 1));
    return Simd::pair(inner_scale(b, 2 * pair), inner_scale(b, 2 * pair + 1));
  }
  typename Simd::Float scale(std::size_t b) const {
    static constexpr float kUnit = Unit::kTraits.scale_unit;
    if constexpr (kUnit != 1) return Simd::multiply(halves(b, 0), Simd::broadcast(&kUnit));
    return halves(b, 0);
  }
  typename Simd::Float minimum(std::size_t b) const { return halves(b, Unit::kMinimumAt); }
  // Begins to fetch the share of 32 inputs of what is read kFetchAhead later.
  [[gnu::always_inline]] void fetch_ahead(std::size_t b, std::size_t j) const {
    if (lane_ != 0) return;
    constexpr std::size_t kLines = kBytes / kLineBytes;
    const std::byte* line = lines_ + b * kBytes + kFetchAhead;
    for (std::size_t i = j * kLines / 8; i < (j + 1) * kLines / 8; ++i) __builtin_prefetch(line + i * kLineBytes);
  }

 private:
  template <std::size_t kGroup>
  [[gnu::always_inline]] Integer high_bits(std::size_t b, std::size_t j) const {
    const BitPlace place = Unit::place(Unit::kHigh, j, kGroup);
    const int left = Unit::kTraits.low.bits - place.bit;
    auto line = Simd::load(lines_ + b * kBytes + Unit::kHighBitsAt + place.line * kLineBytes);
    line = left > 0 ? Simd::shift_left(line, left) : Simd::shift_right(line, -left);
    return Simd::both(line, Simd::fill(((1 << Unit::kTraits.high.bits) - 1) << Unit::kTraits.low.bits));
  }
  // The i-th of a super-block.
  [[gnu::always_inline]] Integer inner_scale(std::size_t b, std::size_t i) const {
    static constexpr std::int32_t kOne = 1;
    if constexpr (Unit::kOnlyScale) return Simd::broadcast(&kOne);
    const std::byte* scales = bytes_ + b * kBytes + Unit::kScalesAt + i * kGroupRows;
    if constexpr (!Unit::kMinimum) return Simd::widen_signed(scales);
    const auto bytes = Simd::widen(scales);
    if constexpr (Unit::kMinimumBytes) return bytes;
    return Simd::both(bytes, Simd::fill(0x0F));
  }
  Integer inner_minimum(std::size_t b, std::size_t i) const {
    constexpr std::size_t kMinimumsAt = Unit::kMinimumBytes ? Unit::kMinimumsAt : Unit::kScalesAt;
    const auto minimum = Simd::widen(bytes_ + b * kBytes + kMinimumsAt + i * kGroupRows);
    if constexpr (Unit::kMinimumBytes) return minimum;
    return Simd::shift_right(minimum, 4);
  }
  typename Simd::Float halves(std::size_t b, std::size_t part_at) const {
    return Simd::load_halves(bytes_ + b * kBytes + part_at + lane_);
  }

  std::size_t lane_;
  const std::byte* lines_;  // at the strip's first row: four bytes a row
  const std::byte* bytes_;  // the same where a row has one
};

// A strip of super-blocks after unpack(): for each of them 64 lines of codes, 8 or 16 of factors, 4 or 8 of sum
// factors, and the floats. Every sub-block is found alike, so that they can share their instructions: unrolled, those
// of a tile would not fit the processor's cache of decoded ones.
template <typename Simd, TensorType kType>
class UnpackedSuperBlocks {
 public:
  using Integer = typename Simd::Integer;
  static constexpr std::size_t kFactorsAt = 64 * kLineBytes;
  static constexpr std::size_t kSumFactorsAt = kFactorsAt + 8 * kHalves<kType> * kLineBytes;
  static constexpr std::size_t kScaleAt = kSumFactorsAt + kSumPairs<kType> * kLineBytes;
  static constexpr std::size_t kMinimumAt = kScaleAt + kLineBytes;
  static constexpr std::size_t kBytes = kMinimumAt + kLineBytes;

  UnpackedSuperBlocks(const std::byte* group, std::size_t strip, Upcoming& upcoming)
      : at_(group + strip * Simd::kLanes * kLineInputs), upcoming_(upcoming) {}

  template <typename Body>
  [[gnu::always_inline]] static void for_sub_blocks(std::size_t b, Body&& body) {
    for (std::size_t j = 0; j < 8; ++j) body(b, j);
  }
  template <std::size_t kGroup>
  Integer codes(std::size_t b, std::size_t j) const {
    return line(b, (8 * j + kGroup) * kLineBytes);
  }
  template <std::size_t kHalf>
  Integer factor(std::size_t b, std::size_t j) const {
    return line(b, kFactorsAt + (kHalves<kType> * j + kHalf) * kLineBytes);
  }
  Integer sum_factors(std::size_t b, std::size_t pair) const { return line(b, kSumFactorsAt + pair * kLineBytes); }
  typename Simd::Float scale(std::size_t b) const { return Simd::load_floats(at_ + b * kBytes + kScaleAt); }
  typename Simd::Float minimum(std::size_t b) const { return Simd::load_floats(at_ + b * kBytes + kMinimumAt); }
  void fetch_ahead(std::size_t /*b*/, std::size_t /*j*/) const { upcoming_.fetch(); }

  [[gnu::always_inline]] static void unpack(const std::byte* packed, std::size_t columns, std::byte* target) {
    for (std::size_t strip = 0; strip < kGroupRows / Simd::kLanes; ++strip) {
      const PackedSuperBlocks<Simd, kType> source(packed, strip);
      std::byte* block = target + strip * Simd::kLanes * kLineInputs;
      for (std::size_t b = 0; b < columns / quant::kSuperBlock; ++b, block += kBytes) {
        unroll_late<8>([&](std::size_t j) __attribute__((always_inline)) {
          source.fetch_ahead(b, j);
          unroll<8>([&](auto g) { Simd::store(block + (8 * j + g) * kLineBytes, source.template codes<g>(b, j)); });
          unroll<kHalves<kType>>([&](auto half) {
            Simd::store(block + kFactorsAt + (kHalves<kType> * j + half) * kLineBytes,
                        source.template factor<half>(b, j));
          });
        });
        unroll<kSumPairs<kType>>(
            [&](auto pair) { Simd::store(block + kSumFactorsAt + pair * kLineBytes, source.sum_factors(b, pair)); });
        Simd::store_floats(block + kScaleAt, source.scale(b));
        Simd::store_floats(block + kMinimumAt, source.minimum(b));
      }
    }
  }

 private:
  Integer line(std::size_t b, std::size_t line_at) const { return Simd::load(at_ + b * kBytes + line_at); }

  const std::byte* at_;
  Upcoming& upcoming_;
};

// A packed strip that is multiplied where it lies. The group's other strips are in the same lines, and several tokens
// may follow each other, so that the next group is fetched evenly over all of them.
template <typename Packed>
class FetchingStrip : public Packed {
 public:
  FetchingStrip(const std::byte* group, std::size_t strip, Upcoming& upcoming)
      : Packed(group, strip), upcoming_(upcoming) {}

  template <typename... Place>
  void fetch_ahead(Place... /*place*/) const {
    upcoming_.fetch();
  }

 private:
  Upcoming& upcoming_;
};

}  // namespace
}  // namespace engine::kernels
