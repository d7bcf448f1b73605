#include "kernels/gemm/panel_row.h"

#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

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

// The scale, and the minimum if there is one, of the row.
template <TensorType kType>
void unpack_floats(const Lane& lane, std::size_t scale_at, std::size_t minimum_at, std::uint8_t* block) {
  constexpr const gguf::TypeTraits& kTraits = gguf::kTraits<kType>;
  const std::uint16_t scale = lane.half(scale_at);
  static_assert(kTraits.scale_format != gguf::ScaleFormat::Quarters);
  if constexpr (kTraits.scale_format == gguf::ScaleFormat::Exponent) {
    block[kTraits.scale_at] = exponent_from_bfloat(scale);
  } else {
    store(scale, block + kTraits.scale_at);
  }
  if constexpr (kTraits.has_minimum) store(lane.half(minimum_at), block + kTraits.scale_at + sizeof(scale));
}

template <TensorType kType>
void unpack_block(const Lane& lane, std::size_t half, std::uint8_t* block) {
  using Unit = BlockUnit<kType>;
  const std::size_t scale_at = half * kGroupRows * sizeof(std::uint16_t);
  unpack_floats<kType>(lane, scale_at, scale_at + Unit::kMinimumAt, block);
  auto words = lane.words<Unit::kBlockCodeBytes / kLineBytes>(Unit::kCodesAt + half * Unit::kBlockCodeBytes);
  if constexpr (Unit::kFiveBits) {
    const Word line = words[Unit::kFifthBitsAt / kLineBytes];
    Word bits = 0;
    for (unsigned g = 0; g < 8; ++g) bits |= gathered_bits(line >> g) << (4 * g);
    store(bits, block + Unit::kTraits.high.at);
  }
  if constexpr (Unit::kByteLines) {
    for (Word& word : words) word ^= 0x80808080u;
  }
  std::memcpy(block + Unit::kTraits.low.at, words.data(), (Unit::kByteLines ? 8 : 4) * sizeof(Word));
}

// The inverse of quant::decode_inner_scales(). `scales`: minimums of their own follow.
void encode_inner_scales(const gguf::InnerScales& layout, const std::uint8_t* scales, std::uint8_t* block) {
  using enum gguf::InnerScales::Format;
  std::uint8_t* packed = block + layout.at;
  switch (layout.format) {
    case Nibbles:
    case SignedByte:
      std::memcpy(packed, scales, 16);
      return;
    case SixBits:
      return quant::encode_six_bit_scales(scales, scales + 8, packed);
    case SignedSix:
      return quant::encode_signed_six(reinterpret_cast<const std::int8_t*>(scales), packed);
    case SignedFew:
      return quant::encode_signed_few(reinterpret_cast<const std::int8_t*>(scales), packed);
    default:
      return;  // there are none, or only of types whose codes are in no planes
  }
}

template <TensorType kType>
void unpack_super_block(const Lane& lane, std::uint8_t* block) {
  using Unit = SuperBlockUnit<kType>;
  unpack_floats<kType>(lane, 0, Unit::kMinimumAt, block);
  encode_inner_scales(Unit::kTraits.inner_scales, lane.bytes<Unit::kScaleBytes>(Unit::kScalesAt).data(), block);
  auto words = lane.words<Unit::kLowLines + Unit::kHighLines>(Unit::kCodesAt);
  if constexpr (Unit::kRearranged) {
    const auto lines = std::exchange(words, {});
    Unit::template rearrange<Unit::kLow, Unit::kTraits.low>(lines.data(), words.data());
    Unit::template rearrange<Unit::kHigh, Unit::kTraits.high>(lines.data() + Unit::kLowLines,
                                                              words.data() + Unit::kLowLines);
  }
  std::memcpy(block + Unit::kTraits.low.at, words.data(), Unit::kLowLines * sizeof(Word));
  std::memcpy(block + Unit::kTraits.high.at, words.data() + Unit::kLowLines, Unit::kHighLines * sizeof(Word));
}

// Every code, a byte each.
template <typename Unit>
std::array<std::uint8_t, quant::kSuperBlock> codes_of(const Lane& lane) {
  const auto words = lane.words<Unit::kLowLines + Unit::kHighLines>(Unit::kCodesAt);
  std::array<std::uint8_t, quant::kSuperBlock> codes{};
  const auto add = [&](const gguf::CodeBits& field, int above, std::size_t first_line) {
    const Word mask = ((1u << field.bits) - 1) * 0x01010101u;
    for (std::size_t e = 0; e < codes.size(); e += kLineInputs) {
      const gguf::CodeBits::Place place = field.place(e);
      const Word four = (words[first_line + place.byte / kLineInputs] >> place.bit) & mask;
      store(load_unaligned<Word>(codes.data() + e) | four << above, codes.data() + e);
    }
  };
  add(Unit::kLow, 0, 0);
  if constexpr (Unit::kHigh.bits != 0) add(Unit::kHigh, Unit::kLow.bits, Unit::kLowLines);
  return codes;
}

// A super-block of a type whose codes are in no planes of the file.
template <TensorType kType>
quant::SuperBlock decode_super_block(const Lane& lane) {
  using Unit = SuperBlockUnit<kType>;
  static_assert(!Unit::kMinimum);
  quant::SuperBlock block{};
  block.scale = float_from_half(lane.half(0)) * Unit::kTraits.scale_unit;
  if constexpr (Unit::kOnlyScale) {
    block.scales.fill(1);
  } else {
    const auto scales = lane.bytes<Unit::kScaleBytes>(Unit::kScalesAt);
    std::memcpy(block.scales.data(), scales.data(), scales.size());
    if constexpr (Unit::kScaleBytes == 8) quant::double_up(block.scales);
  }
  const auto codes = codes_of<Unit>(lane);
  for (std::size_t e = 0; e < quant::kSuperBlock; ++e) {
    if constexpr (Unit::kTraits.has_codebook()) {
      block.values[e] = Unit::kTraits.codebook[codes[e]];
    } else {
      block.values[e] = static_cast<std::int8_t>(codes[e] - Unit::kTraits.code_offset);
    }
  }
  return block;
}

template <typename Element>
void unpack_elements(const std::uint8_t* group, std::size_t row, std::size_t columns, std::uint8_t* out) {
  for (std::size_t k = 0; k < columns; ++k) {
    std::memcpy(out + k * sizeof(Element), group + (k * kGroupRows + row) * sizeof(Element), sizeof(Element));
  }
}

}  // namespace

namespace {

const std::uint8_t* group_of(const Matrix& matrix, std::size_t row) {
  const std::size_t group_bytes = matrix.packed.size() / matrix.groups();
  return reinterpret_cast<const std::uint8_t*>(matrix.packed.data()) + row / kGroupRows * group_bytes;
}

}  // namespace

void unpack_panel_row(const Matrix& matrix, std::size_t row, std::byte* out) {
  const std::uint8_t* group = group_of(matrix, row);
  const std::size_t lane = row % kGroupRows;
  auto* bytes = reinterpret_cast<std::uint8_t*>(out);
  const gguf::TypeTraits& traits = gguf::type_traits(matrix.type);
  const std::size_t blocks = matrix.columns / traits.block_elements;
  with_type(matrix.type, [&]<TensorType kType>() {
    if constexpr (kType == TensorType::F32) {
      unpack_elements<std::uint32_t>(group, lane, matrix.columns, bytes);
    } else if constexpr (gguf::kTraits<kType>.is_float()) {
      unpack_elements<std::uint16_t>(group, lane, matrix.columns, bytes);
    } else if constexpr (!gguf::kTraits<kType>.in_planes) {
      throw std::logic_error("packed rows of this type are no rows of its file");
    } else if constexpr (gguf::kTraits<kType>.is_super_block()) {
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

void dequantize_panel_row(const Matrix& matrix, std::size_t row, std::byte* scratch, float* out) {
  const Lane lane{group_of(matrix, row), row % kGroupRows};
  with_type(matrix.type, [&]<TensorType kType>() {
    if constexpr (gguf::kTraits<kType>.in_planes) {
      unpack_panel_row(matrix, row, scratch);
      quant::dequantize_row(kType, scratch, matrix.columns, out);
    } else {
      for (std::size_t b = 0; b < matrix.columns / quant::kSuperBlock; ++b) {
        const Lane unit{lane.unit + b * SuperBlockUnit<kType>::kBytes, lane.row};
        quant::dequantize_super_block(decode_super_block<kType>(unit), out + b * quant::kSuperBlock);
      }
    }
  });
}

}  // namespace engine::kernels
