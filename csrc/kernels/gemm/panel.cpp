#include "kernels/gemm/panel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/checked.h"
#include "base/float16.h"
#include "quant/block.h"
#include "quant/points.h"

// Codes are moved four at a time, as the words that a row has in the lines of a unit: what lies in a word is one small
// function a type, `code_words`. Words of 16 rows are then transposed into lines, so that memory is read and written in
// order. 16 bytes are a register of every processor this is built for: no instruction set needs to be asked for.
namespace engine::kernels {
namespace {

using gguf::TensorType;
using Word = std::uint32_t;

template <std::size_t kCount>
using Words = std::array<Word, kCount>;

constexpr Word kLowNibbles = 0x0F0F0F0F;

template <std::size_t kCount>
Words<kCount> load_words(const std::uint8_t* source) {
  Words<kCount> words;
  std::memcpy(words.data(), source, sizeof(words));
  return words;
}

// Bit i of four becomes the lowest bit of byte i.
constexpr Word spread_bits(Word four) { return (four * 0x00204081u) & 0x01010101u; }

// --- what a row has in a unit ----------------------------------------------------------------------------------------

// A block of 32: one word for each line of the block's codes. Nibbles lie in the file as they lie in a line.
template <TensorType kType>
auto code_words(const std::uint8_t* block, const BlockUnit<kType>& /*layout*/) {
  using Unit = BlockUnit<kType>;
  Words<Unit::kBlockCodeBytes / kLineBytes> words{};
  if constexpr (Unit::kFiveBits) {
    const auto bits = load_unaligned<Word>(block + Unit::kTraits.high.at);
    Word& line = words[Unit::kFifthBitsAt / kLineBytes];
    for (unsigned g = 0; g < 8; ++g) line |= spread_bits((bits >> (4 * g)) & 0x0F) << g;
  }
  std::memcpy(words.data(), block + Unit::kTraits.low.at, (Unit::kByteLines ? 8 : 4) * sizeof(Word));
  if constexpr (Unit::kByteLines) {
    for (Word& word : words) word ^= 0x80808080u;
  }
  return words;
}

// Codes, a byte each, into planes of bits.
template <typename Unit>
auto plane_words(const std::array<std::uint8_t, quant::kSuperBlock>& codes) {
  Words<Unit::kLowLines + Unit::kHighLines> words{};
  const auto put = [&](const gguf::CodeBits& field, int above, std::size_t first_line) {
    const Word mask = ((1u << field.bits) - 1) * 0x01010101u;
    for (std::size_t e = 0; e < codes.size(); e += kLineInputs) {
      const gguf::CodeBits::Place place = field.place(e);
      words[first_line + place.byte / kLineInputs] |= ((load_unaligned<Word>(codes.data() + e) >> above) & mask)
                                                      << place.bit;
    }
  };
  put(Unit::kLow, 0, 0);
  if constexpr (Unit::kHigh.bits != 0) put(Unit::kHigh, Unit::kLow.bits, Unit::kLowLines);
  return words;
}

// A super-block: one word for each line of low bits and of high bits.
template <TensorType kType>
auto code_words(const std::uint8_t* block, const SuperBlockUnit<kType>& /*layout*/) {
  using Unit = SuperBlockUnit<kType>;
  if constexpr (!Unit::kTraits.in_planes) {
    std::array<std::uint8_t, quant::kSuperBlock> codes;
    quant::read_points(kType, block, codes.data());
    return plane_words<Unit>(codes);
  }
  Words<Unit::kLowLines + Unit::kHighLines> words;
  std::memcpy(words.data(), block + Unit::kTraits.low.at, Unit::kLowLines * sizeof(Word));
  std::memcpy(words.data() + Unit::kLowLines, block + Unit::kTraits.high.at, Unit::kHighLines * sizeof(Word));
  if constexpr (Unit::kRearranged) {
    decltype(words) lines{};
    Unit::template rearrange<Unit::kTraits.low, Unit::kLow>(words.data(), lines.data());
    Unit::template rearrange<Unit::kTraits.high, Unit::kHigh>(words.data() + Unit::kLowLines,
                                                              lines.data() + Unit::kLowLines);
    return lines;
  }
  return words;
}

// The bytes of inner scales and minimums, see SuperBlockUnit.
template <TensorType kType>
Words<4> scale_words(const std::uint8_t* block) {
  using enum gguf::InnerScales::Format;
  constexpr gguf::InnerScales kLayout = gguf::kTraits<kType>.inner_scales;
  if constexpr (kLayout.format == Nibbles || kLayout.format == SignedByte) return load_words<4>(block + kLayout.at);
  if constexpr (kLayout.format == SixBits) {
    const auto [a, b, c] = load_words<3>(block + kLayout.at);
    return {a & 0x3F3F3F3Fu, (c & kLowNibbles) | ((a >> 2) & 0x30303030u), b & 0x3F3F3F3Fu,
            ((c >> 4) & kLowNibbles) | ((b >> 2) & 0x30303030u)};
  }
  std::array<std::int8_t, 16> scales{};
  quant::decode_inner_scales(kLayout, block, scales.data(), nullptr);
  return std::bit_cast<Words<4>>(scales);
}

// --- 16 rows side by side --------------------------------------------------------------------------------------------

template <typename Element>
using Vector __attribute__((vector_size(16))) = Element;

// The elements of two vectors' first or second halves in turn. Compilers make one instruction of it.
template <bool kSecond, typename Lanes>
Lanes interleave(const Lanes& a, const Lanes& b) {
  constexpr std::size_t kCount = sizeof(Lanes) / sizeof(a[0]);
  return [&]<std::size_t... kI>(std::index_sequence<kI...>) {
    return Lanes{(kI % 2 == 0 ? a : b)[(kSecond ? kCount / 2 : 0) + kI / 2]...};
  }(std::make_index_sequence<kCount>());
}

// lines[i][row] = rows[row][i]
template <std::size_t kCount>
void transpose_words(const std::array<Words<kCount>, kGroupRows>& rows, std::uint8_t* lines) {
  using Four = Vector<Word>;
  constexpr std::size_t kWhole = kCount / 4 * 4;
  for (std::size_t i = 0; i < kWhole; i += 4) {
    for (std::size_t row = 0; row < kGroupRows; row += 4) {
      std::array<Four, 4> tile;
      for (std::size_t r = 0; r < 4; ++r) tile[r] = load_unaligned<Four>(rows[row + r].data() + i);
      // Interleaving the halves of a list turns it around once every word has been in each half.
      for (int round = 0; round < 2; ++round) {
        const auto [a, b, c, d] = tile;
        tile = {interleave<false>(a, c), interleave<true>(a, c), interleave<false>(b, d), interleave<true>(b, d)};
      }
      for (std::size_t r = 0; r < 4; ++r) {
        std::memcpy(lines + (i + r) * kLineBytes + row * sizeof(Word), &tile[r], sizeof(Four));
      }
    }
  }
  for (std::size_t i = kWhole; i < kCount; ++i) {
    for (std::size_t row = 0; row < kGroupRows; ++row) {
      std::memcpy(lines + i * kLineBytes + row * sizeof(Word), &rows[row][i], sizeof(Word));
    }
  }
}

// bytes[j][row] = byte j of rows[row], j < kCount, the same way.
template <std::size_t kCount>
void transpose_bytes(const std::array<Words<4>, kGroupRows>& rows, std::uint8_t* bytes) {
  using Sixteen = Vector<std::uint8_t>;
  std::array<Sixteen, kGroupRows> list;
  for (std::size_t i = 0; i < kGroupRows; ++i) list[i] = load_unaligned<Sixteen>(rows[i].data());
  for (int round = 0; round < 4; ++round) {
    const std::array<Sixteen, kGroupRows> before = list;
    for (std::size_t i = 0; i < kGroupRows / 2; ++i) {
      list[2 * i] = interleave<false>(before[i], before[i + kGroupRows / 2]);
      list[2 * i + 1] = interleave<true>(before[i], before[i + kGroupRows / 2]);
    }
  }
  std::memcpy(bytes, list.data(), kCount * kGroupRows);
}

void copy_half(const std::uint8_t* source, std::uint8_t* halves, std::size_t row) {
  std::memcpy(halves + row * sizeof(std::uint16_t), source, sizeof(std::uint16_t));
}

// A block's scale, and its minimum if there is one.
template <TensorType kType>
void copy_floats(const std::uint8_t* block, std::uint8_t* scales, std::uint8_t* minimums, std::size_t row) {
  constexpr const gguf::TypeTraits& kTraits = gguf::kTraits<kType>;
  block += kTraits.scale_at;
  if constexpr (kTraits.scale_format == gguf::ScaleFormat::Exponent) {
    const std::uint16_t scale = quant::bfloat_from_exponent(*block);
    std::memcpy(scales + row * sizeof(scale), &scale, sizeof(scale));
  } else if constexpr (kTraits.scale_format == gguf::ScaleFormat::Quarters) {
    const std::uint16_t scale = quant::half_from_quarters(block);
    std::memcpy(scales + row * sizeof(scale), &scale, sizeof(scale));
  } else {
    copy_half(block, scales, row);
  }
  if constexpr (kTraits.has_minimum) copy_half(block + sizeof(std::uint16_t), minimums, row);
}

// --- finite numbers --------------------------------------------------------------------------------------------------

// Finds NaN and infinities among packed numbers, while their lines are still in the nearest cache. The exponent of such
// a number is full: one more carries into the place of the sign.
template <TensorType kType>
class FiniteCheck {
 public:
  void add(const std::uint8_t* lines, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += sizeof(Numbers)) {
      carried_ |= (load_unaligned<Numbers>(lines + i) & kMagnitude) + kOne;
    }
  }
  bool finite() const {
    Element any = 0;
    for (std::size_t i = 0; i < sizeof(Numbers) / sizeof(Element); ++i) any = static_cast<Element>(any | carried_[i]);
    return any <= kLargest;
  }

 private:
  using Element = std::conditional_t<kType == TensorType::F32, std::uint32_t, std::uint16_t>;
  using Numbers = Vector<Element>;
  static constexpr Element kLargest = std::numeric_limits<Element>::max() / 2;
  // A scale of MXFP4 is too large as soon as a value of its block may be, see quant::all_finite().
  static constexpr bool kExponent = gguf::kTraits<kType>.scale_format == gguf::ScaleFormat::Exponent;
  static constexpr Element kInfinite = kType == TensorType::F32    ? 0x7F800000
                                       : kType == TensorType::BF16 ? 0x7F80
                                       : kExponent                 ? quant::bfloat_from_exponent(253)
                                                                   : 0x7C00;
  static constexpr Element kMagnitude = kLargest;
  static constexpr Element kOne = kLargest - kInfinite + 1;

  Numbers carried_{};
};

// --- groups ----------------------------------------------------------------------------------------------------------

// The rows of one group in the file.
struct RowSpan {
  const std::uint8_t* first;
  std::size_t row_bytes;
  std::size_t count;  // 1..16

  const std::uint8_t* at(std::size_t row, std::size_t byte) const { return first + row * row_bytes + byte; }
};

template <TensorType kType>
bool pack_blocks(const RowSpan& rows, std::size_t columns, std::uint8_t* group) {
  using Unit = BlockUnit<kType>;
  constexpr std::size_t kBlockBytes = gguf::kTraits<kType>.block_bytes;
  std::array<decltype(code_words(rows.first, Unit{})), kGroupRows> words{};
  FiniteCheck<kType> check;
  for (std::size_t b = 0; b < columns / quant::kBlock; ++b) {
    std::uint8_t* unit = group + b / 2 * Unit::kBytes;
    std::uint8_t* halves = unit + b % 2 * kGroupRows * sizeof(std::uint16_t);
    for (std::size_t row = 0; row < rows.count; ++row) {
      const std::uint8_t* block = rows.at(row, b * kBlockBytes);
      copy_floats<kType>(block, halves, halves + Unit::kMinimumAt, row);
      words[row] = code_words(block, Unit{});
    }
    transpose_words(words, unit + Unit::kCodesAt + b % 2 * Unit::kBlockCodeBytes);
    check.add(halves, kGroupRows * sizeof(std::uint16_t));
    if constexpr (Unit::kMinimum) check.add(halves + Unit::kMinimumAt, kGroupRows * sizeof(std::uint16_t));
  }
  return check.finite();
}

template <TensorType kType>
bool pack_super_blocks(const RowSpan& rows, std::size_t columns, std::uint8_t* group) {
  using Unit = SuperBlockUnit<kType>;
  constexpr std::size_t kBlockBytes = gguf::kTraits<kType>.block_bytes;
  std::array<decltype(code_words(rows.first, Unit{})), kGroupRows> words{};
  FiniteCheck<kType> check;
  std::array<Words<4>, kGroupRows> scales{};
  for (std::size_t b = 0; b < columns / quant::kSuperBlock; ++b) {
    std::uint8_t* unit = group + b * Unit::kBytes;
    for (std::size_t row = 0; row < rows.count; ++row) {
      const std::uint8_t* block = rows.at(row, b * kBlockBytes);
      copy_floats<kType>(block, unit, unit + Unit::kMinimumAt, row);
      scales[row] = scale_words<kType>(block);
      words[row] = code_words(block, Unit{});
    }
    if constexpr (!Unit::kOnlyScale) transpose_bytes<Unit::kScaleBytes>(scales, unit + Unit::kScalesAt);
    transpose_words(words, unit + Unit::kCodesAt);
    check.add(unit, Unit::kScalesAt);
  }
  return check.finite();
}

// [columns, 16] in the element type of the file.
template <TensorType kType>
bool pack_elements(const RowSpan& rows, std::size_t columns, std::uint8_t* group) {
  using Element = std::conditional_t<kType == TensorType::F32, std::uint32_t, std::uint16_t>;
  constexpr std::size_t kTile = kLineBytes / sizeof(Element);
  FiniteCheck<kType> check;
  for (std::size_t begin = 0; begin < columns; begin += kTile) {
    const std::size_t end = std::min(begin + kTile, columns);
    for (std::size_t row = 0; row < rows.count; ++row) {
      for (std::size_t k = begin; k < end; ++k) {
        std::memcpy(group + (k * kGroupRows + row) * sizeof(Element), rows.at(row, k * sizeof(Element)),
                    sizeof(Element));
      }
    }
    check.add(group + begin * kGroupRows * sizeof(Element), (end - begin) * kGroupRows * sizeof(Element));
  }
  return check.finite();
}

template <TensorType kType>
bool pack_group(const RowSpan& rows, std::size_t columns, std::uint8_t* group) {
  if constexpr (gguf::kTraits<kType>.is_float()) {
    return pack_elements<kType>(rows, columns, group);
  } else if constexpr (gguf::kTraits<kType>.is_super_block()) {
    return pack_super_blocks<kType>(rows, columns, group);
  } else {
    return pack_blocks<kType>(rows, columns, group);
  }
}

template <TensorType kType>
std::size_t group_bytes(std::size_t columns) {
  if constexpr (gguf::kTraits<kType>.is_float()) return columns * kGroupRows * gguf::kTraits<kType>.block_bytes;
  if constexpr (gguf::kTraits<kType>.is_super_block())
    return columns / quant::kSuperBlock * SuperBlockUnit<kType>::kBytes;
  return divide_up(columns, 2 * quant::kBlock) * BlockUnit<kType>::kBytes;
}

}  // namespace

std::size_t panel_bytes(const Matrix& matrix) {
  const std::size_t group =
      with_type(matrix.type, [&]<TensorType kType>() { return group_bytes<kType>(matrix.columns); });
  return matrix.groups() * group;
}

bool pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end) {
  const std::size_t bytes = matrix.packed.size() / matrix.groups();
  const auto* source = reinterpret_cast<const std::uint8_t*>(matrix.raw.data());
  auto* packed = reinterpret_cast<std::uint8_t*>(matrix.packed.data());
  return with_type(matrix.type, [&]<TensorType kType>() {
    bool finite = true;
    for (std::size_t g = group_begin; g < group_end; ++g) {
      const std::size_t first = g * kGroupRows;
      const RowSpan rows{source + first * matrix.row_bytes(), matrix.row_bytes(),
                         std::min(kGroupRows, matrix.rows - first)};
      finite &= pack_group<kType>(rows, matrix.columns, packed + g * bytes);
    }
    return finite;
  });
}

}  // namespace engine::kernels
