#include "kernels/panel.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/float16.h"
#include "quant/block.h"

namespace engine::kernels {
namespace {

using gguf::TensorType;

// One row's place in a unit: its lane of every line.
class Lane {
 public:
  Lane(std::byte* unit, std::size_t row) : unit_(reinterpret_cast<std::uint8_t*>(unit)), row_(row) {}

  void put_half(std::size_t at, float value) {
    const std::uint16_t half = half_from_float(value);
    std::memcpy(unit_ + at + row_ * sizeof(half), &half, sizeof(half));
  }
  void put_byte(std::size_t at, std::uint8_t value) { unit_[at + row_] = value; }

  // Adds `bits`, shifted, to the bytes of four inputs in a line.
  template <typename Bits>
  void add(std::size_t line_at, int shift, const std::uint8_t* codes, Bits bits) {
    std::uint8_t* line = unit_ + line_at + row_ * kLineInputs;
    for (std::size_t i = 0; i < kLineInputs; ++i) line[i] |= static_cast<std::uint8_t>(bits(codes[i]) << shift);
  }

 private:
  std::uint8_t* unit_;
  std::size_t row_;
};

constexpr auto kLowNibble = [](std::uint8_t code) { return code & 0x0F; };
constexpr auto kHighBits = [](std::uint8_t code) { return code >> 4; };
constexpr auto kBiased = [](std::uint8_t code) { return code ^ 0x80; };

template <TensorType kType>
void pack_block(const std::byte* source, std::size_t index, Lane lane) {
  using Unit = BlockUnit<kType>;
  const quant::Block block = quant::decode_block(kType, source);
  const std::size_t half_at = index * kGroupRows * sizeof(std::uint16_t);
  lane.put_half(half_at, block.scale);
  if constexpr (Unit::kMinimum) lane.put_half(Unit::kMinimumAt + half_at, block.minimum);
  const std::size_t codes_at = Unit::kCodesAt + index * Unit::kBlockCodeBytes;
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint8_t* codes = block.codes.data() + g * kLineInputs;
    if constexpr (Unit::kByteCodes) {
      lane.add(codes_at + g * kLineBytes, 0, codes, kBiased);
    } else {
      lane.add(codes_at + g % 4 * kLineBytes, g < 4 ? 0 : 4, codes, kLowNibble);
    }
    if constexpr (Unit::kFiveBits) lane.add(codes_at + Unit::kFifthBitsAt, static_cast<int>(g), codes, kHighBits);
  }
}

void pack_q6_k_codes(const quant::SuperBlock& block, Lane lane) {
  using Unit = SuperBlockUnit<TensorType::Q6_K>;
  for (std::size_t g = 0; g < 64; ++g) {
    const std::uint8_t* codes = block.codes.data() + g * kLineInputs;
    lane.add(Unit::kNibblesAt + g % 32 * kLineBytes, g < 32 ? 0 : 4, codes, kLowNibble);
    lane.add(Unit::kHighBitsAt + g % 16 * kLineBytes, static_cast<int>(g / 16 * 2), codes, kHighBits);
  }
}

template <TensorType kType>
void pack_q45_k_codes(const quant::SuperBlock& block, Lane lane) {
  using Unit = SuperBlockUnit<kType>;
  for (std::size_t j = 0; j < 8; ++j) {
    for (std::size_t g = 0; g < 8; ++g) {
      const std::uint8_t* codes = block.codes.data() + (8 * j + g) * kLineInputs;
      lane.add(Unit::kNibblesAt + (j / 2 * 8 + g) * kLineBytes, j % 2 == 0 ? 0 : 4, codes, kLowNibble);
      if constexpr (kType == TensorType::Q5_K) {
        lane.add(Unit::kHighBitsAt + g * kLineBytes, static_cast<int>(j), codes, kHighBits);
      }
    }
  }
}

template <TensorType kType>
void pack_super_block(const std::byte* source, Lane lane) {
  using Unit = SuperBlockUnit<kType>;
  const quant::SuperBlock block = quant::decode_super_block(kType, source);
  lane.put_half(0, block.scale);
  lane.put_half(Unit::kMinimumAt, block.minimum);
  if constexpr (kType == TensorType::Q6_K) {
    for (std::size_t j = 0; j < 16; ++j) {
      lane.put_byte(Unit::kScalesAt + j * kGroupRows, static_cast<std::uint8_t>(block.scales[j]));
    }
    pack_q6_k_codes(block, lane);
  } else {
    for (std::size_t j = 0; j < 8; ++j) {
      lane.put_byte(Unit::kScalesAt + j * kGroupRows, static_cast<std::uint8_t>(block.scales[j]));
      lane.put_byte(Unit::kMinimumsAt + j * kGroupRows, block.minimums[j]);
    }
    pack_q45_k_codes<kType>(block, lane);
  }
}

// [columns, 16] in the element type of the file.
void pack_elements(const std::byte* source, std::size_t columns, std::size_t element_bytes, std::size_t lane,
                   std::byte* panel) {
  for (std::size_t k = 0; k < columns; ++k) {
    std::memcpy(panel + (k * kGroupRows + lane) * element_bytes, source + k * element_bytes, element_bytes);
  }
}

template <TensorType kType>
std::size_t group_bytes(std::size_t columns) {
  if constexpr (is_float_type(kType)) return columns * kGroupRows * (kType == TensorType::F32 ? 4 : 2);
  if constexpr (is_k_type(kType)) return columns / quant::kSuperBlock * SuperBlockUnit<kType>::kBytes;
  return divide_up(columns, 2 * quant::kBlock) * BlockUnit<kType>::kBytes;
}

template <TensorType kType>
void pack_row(const Matrix& matrix, std::size_t row, std::byte* group) {
  const std::size_t lane = row % kGroupRows;
  const gguf::TypeTraits& traits = gguf::type_traits(kType);
  const std::byte* source = matrix.raw.data() + row * matrix.row_bytes();
  if constexpr (is_float_type(kType)) {
    pack_elements(source, matrix.columns, traits.block_bytes, lane, group);
  } else {
    const std::size_t blocks = matrix.columns / traits.block_elements;
    for (std::size_t b = 0; b < blocks; ++b, source += traits.block_bytes) {
      if constexpr (is_k_type(kType)) {
        pack_super_block<kType>(source, Lane(group + b * SuperBlockUnit<kType>::kBytes, lane));
      } else {
        pack_block<kType>(source, b % 2, Lane(group + b / 2 * BlockUnit<kType>::kBytes, lane));
      }
    }
  }
}

}  // namespace

std::size_t panel_bytes(const Matrix& matrix) {
  const std::size_t group =
      with_type(matrix.type, [&]<TensorType kType>() { return group_bytes<kType>(matrix.columns); });
  return matrix.groups() * group;
}

void pack_panels(Matrix& matrix, std::size_t group_begin, std::size_t group_end) {
  const std::size_t bytes = matrix.packed.size() / matrix.groups();
  with_type(matrix.type, [&]<TensorType kType>() {
    for (std::size_t g = group_begin; g < group_end; ++g) {
      const std::size_t end = std::min((g + 1) * kGroupRows, matrix.rows);
      for (std::size_t row = g * kGroupRows; row < end; ++row) {
        pack_row<kType>(matrix, row, matrix.packed.data() + g * bytes);
      }
    }
  });
}

}  // namespace engine::kernels
