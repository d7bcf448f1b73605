#include "quant/block_encoding.h"

#include <cstring>

namespace engine::quant {
namespace {

using gguf::TensorType;

std::uint8_t byte_of(unsigned bits) { return static_cast<std::uint8_t>(bits); }

// Stores the field of every code: its bits from `above` on.
template <gguf::CodeBits kField, std::size_t kCount>
void put_bits(int above, const std::uint8_t* codes, std::uint8_t* block) {
  if constexpr (kField.bits != 0) {
    std::uint8_t* run = block + kField.at;
    constexpr std::size_t kParts = 8 / kField.bits;
    for (const std::uint8_t* end = codes + kCount; codes != end; run += kField.run, codes += kParts * kField.run) {
      for (std::size_t i = 0; i < kField.run; ++i) {
        unsigned byte = 0;
        for (std::size_t part = 0; part < kParts; ++part) {
          const unsigned bits = (codes[part * kField.run + i] >> above) & ((1u << kField.bits) - 1);
          byte |= bits << (part * kField.bits);
        }
        run[i] = byte_of(byte);
      }
    }
  }
}

std::size_t inner_scale_bytes(gguf::InnerScales::Format format) {
  switch (format) {
    case gguf::InnerScales::Format::SixBits:
    case gguf::InnerScales::Format::SignedSix:
      return 12;
    case gguf::InnerScales::Format::SignedFew:
      return 6;
    default:
      return 16;
  }
}

// All of a block but its inner scales.
template <TensorType kType>
void put_block(std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes, std::uint8_t* block) {
  constexpr gguf::TypeTraits kTraits = gguf::kTraits<kType>;
  std::memcpy(block + kTraits.scale_at, &scale, sizeof(scale));
  if (kTraits.has_minimum) std::memcpy(block + kTraits.scale_at + sizeof(scale), &minimum, sizeof(minimum));
  put_bits<kTraits.low, kTraits.block_elements>(0, codes, block);
  put_bits<kTraits.high, kTraits.block_elements>(kTraits.low.bits, codes, block);
}

}  // namespace

void encode_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes,
                  std::byte* out) {
  auto* block = reinterpret_cast<std::uint8_t*>(out);
  gguf::with_type(type, [&]<TensorType kType>() { put_block<kType>(scale, minimum, codes, block); });
}

void encode_six_bit_scales(const std::uint8_t* scales, const std::uint8_t* minimums, std::uint8_t* packed) {
  for (std::size_t j = 0; j < 4; ++j) {
    packed[j] = byte_of(scales[j] | ((scales[j + 4] >> 4u) << 6));
    packed[j + 4] = byte_of(minimums[j] | ((minimums[j + 4] >> 4u) << 6));
    packed[j + 8] = byte_of((scales[j + 4] & 0x0Fu) | ((minimums[j + 4] & 0x0Fu) << 4));
  }
}

void encode_signed_six(const std::int8_t* scales, std::uint8_t* packed) {
  std::memset(packed, 0, 12);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned scale = (scales[i] + 32u) & 0x3F;
    packed[i % 8] |= byte_of((scale & 0x0F) << (i / 8 * 4));
    packed[8 + i % 4] |= byte_of(scale >> 4 << (i / 4 * 2));
  }
}

void encode_signed_few(const std::int8_t* scales, std::uint8_t* packed) {
  std::memset(packed, 0, 6);
  unsigned high = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const unsigned scale = (scales[i] + 32u) & 0x3F;
    packed[2 + i / 2] |= byte_of((scale & 0x0F) << (i % 2 * 4));
    high |= scale >> 4 << (2 * i);
  }
  const auto bits = static_cast<std::uint16_t>(high);
  std::memcpy(packed, &bits, sizeof(bits));
}

void encode_super_block(gguf::TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* scales,
                        const std::uint8_t* codes, std::byte* out) {
  encode_block(type, scale, minimum, codes, out);
  const gguf::InnerScales& inner = gguf::type_traits(type).inner_scales;
  std::memcpy(out + inner.at, scales, inner_scale_bytes(inner.format));
}

}  // namespace engine::quant
