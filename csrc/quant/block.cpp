#include "quant/block.h"

#include <cstring>

#include "base/float16.h"
#include "quant/points.h"

namespace engine::quant {
namespace {

using gguf::TensorType;
using gguf::TypeTraits;

// Sets every code's bits from kAbove on, the lowest first.
template <gguf::CodeBits kField, std::size_t kCount, int kAbove>
void read_bits(const std::uint8_t* block, std::int8_t* codes) {
  if constexpr (kField.bits != 0) {
    const std::uint8_t* run = block + kField.at;
    for (std::size_t begin = 0; begin < kCount; run += kField.run) {
      for (int bit = 0; bit < 8; bit += kField.bits, begin += kField.run) {
        for (std::size_t i = 0; i < kField.run; ++i) {
          const int bits = (run[i] >> bit) & ((1 << kField.bits) - 1);
          codes[begin + i] = static_cast<std::int8_t>((kAbove == 0 ? 0 : codes[begin + i]) | bits << kAbove);
        }
      }
    }
  }
}

template <TensorType kType>
void decode_values(const std::uint8_t* block, std::int8_t* values) {
  constexpr TypeTraits kTraits = gguf::kTraits<kType>;
  constexpr std::size_t kCount = kTraits.block_elements;
  if constexpr (kTraits.in_planes) {
    read_bits<kTraits.low, kCount, 0>(block, values);
    read_bits<kTraits.high, kCount, kTraits.low.bits>(block, values);
  } else {
    read_points(kType, block, reinterpret_cast<std::uint8_t*>(values));
  }
  for (std::size_t i = 0; i < kCount; ++i) {
    if constexpr (kTraits.has_codebook()) {
      values[i] = kTraits.codebook[static_cast<std::size_t>(values[i])];
    } else if constexpr (!kTraits.has_signed_bytes()) {
      values[i] = static_cast<std::int8_t>(values[i] - kTraits.code_offset);
    }
  }
}

void decode_values(const TypeTraits& traits, const std::uint8_t* block, std::int8_t* values) {
  gguf::with_type(traits.type, [&]<TensorType kType>() { decode_values<kType>(block, values); });
}

float decode_scale(const TypeTraits& traits, const std::uint8_t* block) {
  block += traits.scale_at;
  switch (traits.scale_format) {
    case gguf::ScaleFormat::Half:
      break;
    case gguf::ScaleFormat::Exponent:
      return float_from_bfloat(bfloat_from_exponent(*block));
    case gguf::ScaleFormat::Quarters:
      return float_from_half(half_from_quarters(block)) * traits.scale_unit;
  }
  return load_half(block) * traits.scale_unit;
}

float decode_minimum(const TypeTraits& traits, const std::uint8_t* block) {
  return traits.has_minimum ? load_half(block + traits.scale_at + sizeof(std::uint16_t)) : 0;
}

void decode_six_bits(const std::uint8_t* packed, std::int8_t* scales, std::uint8_t* minimums) {
  for (std::size_t j = 0; j < 4; ++j) {
    scales[j] = static_cast<std::int8_t>(packed[j] & 63);
    minimums[j] = packed[j + 4] & 63;
    scales[j + 4] = static_cast<std::int8_t>((packed[j + 8] & 0x0F) | ((packed[j] >> 6) << 4));
    minimums[j + 4] = static_cast<std::uint8_t>((packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4));
  }
}

void decode_signed_six(const std::uint8_t* packed, std::int8_t* scales) {
  for (std::size_t i = 0; i < 16; ++i) {
    const int low = (packed[i % 8] >> (i / 8 * 4)) & 0x0F;
    const int high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
    scales[i] = static_cast<std::int8_t>((low | high << 4) - 32);
  }
}

void decode_signed_few(const std::uint8_t* packed, std::int8_t* scales) {
  const auto high = load_unaligned<std::uint16_t>(packed);
  for (std::size_t i = 0; i < 8; ++i) {
    const int low = (packed[2 + i / 2] >> (i % 2 * 4)) & 0x0F;
    scales[i] = static_cast<std::int8_t>((low | ((high >> (2 * i)) & 3) << 4) - 32);
  }
}

std::int8_t odd(unsigned n) { return static_cast<std::int8_t>(2 * n + 1); }

void decode_odd_nibbles(const std::uint8_t* packed, std::size_t count, std::int8_t* scales) {
  for (std::size_t i = 0; i < count; ++i) scales[i] = odd((packed[i / 2] >> (i % 2 * 4)) & 0x0Fu);
}

void decode_odd_turned(const std::uint8_t* packed, std::int8_t* scales) {
  for (std::size_t i = 0; i < 8; ++i) {
    const std::uint8_t byte = packed[2 * i + 1];
    const std::int8_t scale = odd((byte >> 4) & 7u);
    scales[i] = static_cast<std::int8_t>(byte >= 0x80 ? -scale : scale);
  }
}

void decode_odd_threes(const std::uint8_t* packed, std::int8_t* scales) {
  for (std::size_t i = 0; i < 16; ++i) {
    scales[i] = odd((load_unaligned<std::uint16_t>(packed + i / 4 * 2) >> (i % 4 * 3)) & 7u);
  }
}

void dequantize_block(const TypeTraits& traits, const std::byte* source, float* out) {
  const Block block = decode_block(traits, source);
  for (std::size_t e = 0; e < kBlock; ++e) {
    const float product = block.scale * static_cast<float>(block.values[e]);
    out[e] = traits.has_minimum ? product + block.minimum : product;
  }
}

}  // namespace

Block decode_block(const TypeTraits& traits, const std::byte* source) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  Block block{.scale = decode_scale(traits, bytes), .minimum = decode_minimum(traits, bytes), .values = {}};
  decode_values(traits, bytes, block.values.data());
  return block;
}

void decode_inner_scales(const gguf::InnerScales& layout, const std::uint8_t* block, std::int8_t* scales,
                         std::uint8_t* minimums) {
  using enum gguf::InnerScales::Format;
  const std::uint8_t* packed = block + layout.at;
  switch (layout.format) {
    case None:
      std::memset(scales, 1, 16);
      return;
    case Nibbles:
      for (std::size_t i = 0; i < 16; ++i) {
        scales[i] = static_cast<std::int8_t>(packed[i] & 0x0F);
        minimums[i] = packed[i] >> 4;
      }
      return;
    case SixBits:
      return decode_six_bits(packed, scales, minimums);
    case SignedSix:
      return decode_signed_six(packed, scales);
    case SignedFew:
      return decode_signed_few(packed, scales);
    case SignedByte:
      std::memcpy(scales, packed, 16);
      return;
    case OddTops:
      for (std::size_t i = 0; i < 8; ++i) scales[i] = odd(packed[i * layout.stride + 3] >> 4u);
      return;
    case OddNibbles:
      return decode_odd_nibbles(packed, kSuperBlock / layout.elements, scales);
    case OddTurned:
      return decode_odd_turned(packed, scales);
    case OddThrees:
      return decode_odd_threes(packed, scales);
  }
}

SuperBlock decode_super_block(const TypeTraits& traits, const std::byte* source) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  SuperBlock block{.scale = decode_scale(traits, bytes),
                   .minimum = decode_minimum(traits, bytes),
                   .scales = {},
                   .minimums = {},
                   .values = {}};
  decode_inner_scales(traits.inner_scales, bytes, block.scales.data(), block.minimums.data());
  if (traits.inner_scales.elements == kBlock) {
    double_up(block.scales);
    double_up(block.minimums);
  }
  decode_values(traits, bytes, block.values.data());
  return block;
}

void dequantize_super_block(const SuperBlock& block, float* out) {
  for (std::size_t e = 0; e < kSuperBlock; ++e) {
    const float scale = block.scale * static_cast<float>(block.scales[e / 16]);
    const float minimum = block.minimum * static_cast<float>(block.minimums[e / 16]);
    out[e] = scale * static_cast<float>(block.values[e]) - minimum;
  }
}

void dequantize_row(TensorType type, const std::byte* source, std::size_t columns, float* out) {
  const TypeTraits& traits = gguf::type_traits(type);
  for (std::size_t i = 0; i < columns; i += traits.block_elements, source += traits.block_bytes) {
    switch (type) {
      case TensorType::F32:
        out[i] = load_unaligned<float>(source);
        break;
      case TensorType::F16:
        out[i] = load_half(source);
        break;
      case TensorType::BF16:
        out[i] = float_from_bfloat(load_unaligned<std::uint16_t>(source));
        break;
      default:
        if (traits.is_super_block()) {
          dequantize_super_block(decode_super_block(traits, source), out + i);
        } else {
          dequantize_block(traits, source, out + i);
        }
    }
  }
}

}  // namespace engine::quant
