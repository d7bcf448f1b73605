#include "kernels/gemm/panel_row.h"

#include <array>
#include <cstring>

#include "base/float16.h"
#include "kernels/gemm/panel.h"
#include "quant/block.h"
#include "quant/block_encoding.h"

// What panel.cpp puts side by side is gathered again: the words of one row from the lines of each unit, its scales from
// those of 16 rows.
namespace engine::kernels {
namespace {

using gguf::TensorType;
using Word = std::uint32_t;

template <std::size_t kCount>
using Words = std::array<Word, kCount>;

constexpr Word kLowNibbles = 0x0F0F0F0F;
constexpr Word kLowPairs = 0x03030303;

// A row of a group.
struct Lane {
  const std::uint8_t* unit;
  std::size_t row;

  template <std::size_t kCount>
  Words<kCount> words(std::size_t at) const {
    Words<kCount> words;
    for (std::size_t i = 0; i < kCount; ++i) words[i] = load_unaligned<Word>(unit + at + i * kLineBytes + row * 4);
    return words;
  }

  std::uint16_t half(std::size_t at) const { return load_unaligned<std::uint16_t>(unit + at + row * 2); }

  template <std::size_t kCount>
  std::array<std::uint8_t, kCount> bytes(std::size_t at) const {
    std::array<std::uint8_t, kCount> bytes;
    for (std::size_t i = 0; i < kCount; ++i) bytes[i] = unit[at + i * kGroupRows + row];
    return bytes;
  }
};

template <typename Value>
void store(const Value& value, std::uint8_t* out) {
  std::memcpy(out, &value, sizeof(value));
}

// The lowest bit of each byte, the first byte's lowest.
constexpr Word gathered_bits(Word word) { return ((word & 0x01010101u) * 0x01020408u) >> 24; }

// The inverse of quant::bfloat_from_exponent().
constexpr std::uint8_t exponent_from_bfloat(std::uint16_t bits) {
  if (bits == 0x7FC0) return 255;
  if (bits < 0x80) return bits == 0x20 ? 0 : 1;
  return static_cast<std::uint8_t>((bits >> 7) + 1);
}

template <TensorType kType>
void unpack_block(const Lane& lane, std::size_t half, std::uint8_t* out) {
  using Unit = BlockUnit<kType>;
  const std::size_t scale_at = half * kGroupRows * sizeof(std::uint16_t);
  const std::uint16_t scale = lane.half(scale_at);
  if constexpr (kType == TensorType::MXFP4) {
    *out++ = exponent_from_bfloat(scale);
  } else {
    store(scale, out);
    out += sizeof(scale);
  }
  if constexpr (Unit::kMinimum) {
    store(lane.half(scale_at + Unit::kMinimumAt), out);
    out += sizeof(std::uint16_t);
  }
  auto words = lane.words<Unit::kBlockCodeBytes / kLineBytes>(Unit::kCodesAt + half * Unit::kBlockCodeBytes);
  if constexpr (Unit::kFiveBits) {
    const Word line = words[Unit::kFifthBitsAt / kLineBytes];
    Word bits = 0;
    for (unsigned g = 0; g < 8; ++g) bits |= gathered_bits(line >> g) << (4 * g);
    store(bits, out);
    out += sizeof(bits);
  }
  if constexpr (Unit::kByteLines) {
    for (Word& word : words) word ^= 0x80808080u;
  }
  std::memcpy(out, words.data(), (Unit::kByteLines ? 8 : 4) * sizeof(Word));
}

void unpack_q6_k_codes(const Words<48>& words, std::uint8_t* out) {
  Words<32> low;
  Words<16> high;
  for (std::size_t i = 0; i < 16; ++i) {
    low[i] = (words[i] & kLowNibbles) | (words[16 + i] & kLowNibbles) << 4;
    low[16 + i] = ((words[i] >> 4) & kLowNibbles) | (words[16 + i] & ~kLowNibbles);
  }
  for (std::size_t i = 0; i < 8; ++i) {
    const Word even = words[32 + i];
    const Word odd = words[40 + i];
    for (std::size_t part = 0; part < 2; ++part) {
      const Word a = even >> (4 * part);
      const Word b = odd >> (4 * part);
      high[8 * part + i] =
          (a & kLowPairs) | (b & kLowPairs) << 2 | ((a >> 2) & kLowPairs) << 4 | ((b >> 2) & kLowPairs) << 6;
    }
  }
  store(low, out);
  store(high, out + sizeof(low));
}

// See quant::decode_q3_k_scales().
void encode_q3_k_scales(const std::array<std::uint8_t, 16>& scales, std::uint8_t* packed) {
  std::memset(packed, 0, 12);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned scale = (scales[i] + 32u) & 0x3F;
    packed[i % 8] |= static_cast<std::uint8_t>((scale & 0x0F) << (i / 8 * 4));
    packed[8 + i % 4] |= static_cast<std::uint8_t>(scale >> 4 << (i / 4 * 2));
  }
}

// See quant::decode_iq4_xs_scales().
void encode_iq4_xs_scales(const std::array<std::uint8_t, 8>& scales, std::uint8_t* packed) {
  std::memset(packed, 0, 6);
  unsigned high = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const unsigned scale = (scales[i] + 32u) & 0x3F;
    packed[2 + i / 2] |= static_cast<std::uint8_t>((scale & 0x0F) << (i % 2 * 4));
    high |= scale >> 4 << (2 * i);
  }
  store(static_cast<std::uint16_t>(high), packed);
}

template <TensorType kType>
void unpack_super_block(const Lane& lane, std::uint8_t* out) {
  using enum TensorType;
  using Unit = SuperBlockUnit<kType>;
  constexpr std::size_t kScaleAt = quant::scale_at(kType);
  store(lane.half(0), out + kScaleAt);
  if constexpr (Unit::kMinimum) store(lane.half(Unit::kMinimumAt), out + kScaleAt + sizeof(std::uint16_t));
  const auto scales = lane.bytes<Unit::kScaleBytes>(Unit::kScalesAt);
  const auto words = lane.words<Unit::kLowLines + Unit::kHighLines>(Unit::kCodesAt);
  if constexpr (kType == Q6_K) {
    unpack_q6_k_codes(words, out);
    store(scales, out + 192);
  } else {
    constexpr std::size_t kHighAt = kType == Q3_K ? 0 : 16;
    constexpr std::size_t kLowAt = kType == IQ4_XS ? 8 : kType == Q2_K ? 16 : kHighAt + Unit::kHighLines * sizeof(Word);
    std::memcpy(out + kLowAt, words.data(), Unit::kLowLines * sizeof(Word));
    std::memcpy(out + kHighAt, words.data() + Unit::kLowLines, Unit::kHighLines * sizeof(Word));
    if constexpr (kType == Q2_K) store(scales, out);
    if constexpr (kType == Q3_K) encode_q3_k_scales(scales, out + 96);
    if constexpr (kType == IQ4_XS) encode_iq4_xs_scales(scales, out + 2);
    if constexpr (kType == Q4_K || kType == Q5_K)
      quant::encode_six_bit_scales(scales.data(), scales.data() + 8, out + 4);
  }
}

template <typename Element>
void unpack_elements(const std::uint8_t* group, std::size_t row, std::size_t columns, std::uint8_t* out) {
  for (std::size_t k = 0; k < columns; ++k) {
    std::memcpy(out + k * sizeof(Element), group + (k * kGroupRows + row) * sizeof(Element), sizeof(Element));
  }
}

}  // namespace

void unpack_panel_row(const Matrix& matrix, std::size_t row, std::byte* out) {
  const std::size_t group_bytes = matrix.packed.size() / matrix.groups();
  const auto* group = reinterpret_cast<const std::uint8_t*>(matrix.packed.data()) + row / kGroupRows * group_bytes;
  const std::size_t lane = row % kGroupRows;
  auto* bytes = reinterpret_cast<std::uint8_t*>(out);
  const gguf::TypeTraits& traits = gguf::type_traits(matrix.type);
  const std::size_t blocks = matrix.columns / traits.block_elements;
  with_type(matrix.type, [&]<TensorType kType>() {
    if constexpr (kType == TensorType::F32) {
      unpack_elements<std::uint32_t>(group, lane, matrix.columns, bytes);
    } else if constexpr (is_float_type(kType)) {
      unpack_elements<std::uint16_t>(group, lane, matrix.columns, bytes);
    } else if constexpr (quant::is_super_block_type(kType)) {
      for (std::size_t b = 0; b < blocks; ++b) {
        unpack_super_block<kType>({group + b * SuperBlockUnit<kType>::kBytes, lane}, bytes + b * traits.block_bytes);
      }
    } else {
      for (std::size_t b = 0; b < blocks; ++b) {
        unpack_block<kType>({group + b / 2 * BlockUnit<kType>::kBytes, lane}, b % 2, bytes + b * traits.block_bytes);
      }
    }
  });
}

}  // namespace engine::kernels
