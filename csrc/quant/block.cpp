#include "quant/block.h"

#include <cstring>

#include "base/float16.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

// Low nibbles hold elements 0..15, high nibbles 16..31.
void decode_nibbles(const std::uint8_t* packed, std::int8_t* codes) {
  for (std::size_t i = 0; i < 16; ++i) {
    codes[i] = static_cast<std::int8_t>(packed[i] & 0x0F);
    codes[i + 16] = static_cast<std::int8_t>(packed[i] >> 4);
  }
}

void add_bits(std::int8_t& code, int bits) { code = static_cast<std::int8_t>(code | bits); }

void add_fifth_bits(const std::uint8_t* packed, std::int8_t* codes) {
  const auto bits = load_unaligned<std::uint32_t>(packed);
  for (std::size_t i = 0; i < 32; ++i) add_bits(codes[i], static_cast<int>((bits >> i) & 1u) << 4);
}

void look_up(const std::array<std::int8_t, 16>& values, std::int8_t* codes) {
  for (std::size_t i = 0; i < kBlock; ++i) codes[i] = values[static_cast<std::size_t>(codes[i])];
}

void subtract(int offset, std::int8_t* codes, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) codes[i] = static_cast<std::int8_t>(codes[i] - offset);
}

// Two bits each: byte l of a half has those of elements l, l + 32, l + 64 and l + 96 of its 128.
void decode_pairs(const std::uint8_t* packed, std::int8_t* codes) {
  for (std::size_t e = 0; e < kSuperBlock; ++e) {
    codes[e] = static_cast<std::int8_t>((packed[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2)) & 3);
  }
}

// A scale for 32 weights as two for 16.
template <typename Scale>
void double_up(std::array<Scale, 16>& scales) {
  for (std::size_t i = 16; i-- > 0;) scales[i] = scales[i / 2];
}

void decode_q2_k(const std::uint8_t* bytes, SuperBlock& block) {
  for (std::size_t i = 0; i < 16; ++i) {
    block.scales[i] = static_cast<std::int8_t>(bytes[i] & 0x0F);
    block.minimums[i] = bytes[i] >> 4;
  }
  decode_pairs(bytes + 16, block.codes.data());
}

// What has its third bit set is not negative.
void decode_q3_k(const std::uint8_t* bytes, SuperBlock& block) {
  decode_q3_k_scales(bytes + 96, block.scales.data());
  decode_pairs(bytes + 32, block.codes.data());
  for (std::size_t e = 0; e < kSuperBlock; ++e) {
    add_bits(block.codes[e], ((bytes[e % 32] >> (e / 32)) & 1) << 2);
  }
  subtract(4, block.codes.data(), kSuperBlock);
}

void decode_q45_k(TensorType type, const std::uint8_t* bytes, SuperBlock& block) {
  decode_six_bit_scales(bytes + 4, block.scales.data(), block.minimums.data());
  double_up(block.scales);
  double_up(block.minimums);
  const std::uint8_t* high = bytes + 16;
  const std::uint8_t* low = type == TensorType::Q5_K ? high + 32 : high;
  for (std::size_t pair = 0; pair < 4; ++pair) {
    std::int8_t* even = block.codes.data() + 64 * pair;
    for (std::size_t l = 0; l < 32; ++l) {
      even[l] = static_cast<std::int8_t>(low[32 * pair + l] & 0x0F);
      even[l + 32] = static_cast<std::int8_t>(low[32 * pair + l] >> 4);
      if (type == TensorType::Q5_K) {
        add_bits(even[l], ((high[l] >> (2 * pair)) & 1) << 4);
        add_bits(even[l + 32], ((high[l] >> (2 * pair + 1)) & 1) << 4);
      }
    }
  }
}

void decode_q6_k(const std::uint8_t* low, SuperBlock& block) {
  const std::uint8_t* high = low + 128;
  std::memcpy(block.scales.data(), high + 64, 16);
  for (std::size_t half = 0; half < 2; ++half, low += 64, high += 32) {
    std::int8_t* codes = block.codes.data() + 128 * half;
    for (std::size_t l = 0; l < 32; ++l) {
      codes[l] = static_cast<std::int8_t>((low[l] & 0x0F) | ((high[l] & 3) << 4));
      codes[l + 32] = static_cast<std::int8_t>((low[l + 32] & 0x0F) | (((high[l] >> 2) & 3) << 4));
      codes[l + 64] = static_cast<std::int8_t>((low[l] >> 4) | (((high[l] >> 4) & 3) << 4));
      codes[l + 96] = static_cast<std::int8_t>((low[l + 32] >> 4) | ((high[l] >> 6) << 4));
    }
  }
  subtract(kQ6KOffset, block.codes.data(), kSuperBlock);
}

void decode_iq4_xs(const std::uint8_t* bytes, SuperBlock& block) {
  decode_iq4_xs_scales(bytes + 2, block.scales.data());
  double_up(block.scales);
  for (std::size_t i = 0; i < kSuperBlock; i += kBlock) {
    decode_nibbles(bytes + 8 + i / 2, block.codes.data() + i);
    look_up(kUnevenValues, block.codes.data() + i);
  }
}

void dequantize_block(TensorType type, const std::byte* source, float* out) {
  const Block block = decode_block(type, source);
  for (std::size_t e = 0; e < kBlock; ++e) {
    const float product = block.scale * static_cast<float>(block.codes[e]);
    out[e] = has_minimum(type) ? product + block.minimum : product;
  }
}

void dequantize_super_block(TensorType type, const std::byte* source, float* out) {
  const SuperBlock block = decode_super_block(type, source);
  for (std::size_t e = 0; e < kSuperBlock; ++e) {
    const float scale = block.scale * static_cast<float>(block.scales[e / 16]);
    const float minimum = block.minimum * static_cast<float>(block.minimums[e / 16]);
    out[e] = scale * static_cast<float>(block.codes[e]) - minimum;
  }
}

}  // namespace

Block decode_block(TensorType type, const std::byte* source) {
  Block block{};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  if (type == TensorType::MXFP4) {
    block.scale = float_from_bfloat(bfloat_from_exponent(*bytes));
    bytes += 1;
  } else {
    block.scale = load_half(bytes);
    bytes += 2;
  }
  if (has_minimum(type)) {
    block.minimum = load_half(bytes);
    bytes += 2;
  }
  std::int8_t* codes = block.codes.data();
  if (type == TensorType::Q8_0) {
    std::memcpy(codes, bytes, kBlock);
    return block;
  }
  const bool five_bits = type == TensorType::Q5_0 || type == TensorType::Q5_1;
  decode_nibbles(five_bits ? bytes + 4 : bytes, codes);
  if (five_bits) add_fifth_bits(bytes, codes);
  if (type == TensorType::Q4_0) subtract(8, codes, kBlock);
  if (type == TensorType::Q5_0) subtract(16, codes, kBlock);
  if (type == TensorType::IQ4_NL) look_up(kUnevenValues, codes);
  if (type == TensorType::MXFP4) look_up(kFloatValues, codes);
  return block;
}

void decode_six_bit_scales(const std::uint8_t* packed, std::int8_t* scales, std::uint8_t* minimums) {
  for (std::size_t j = 0; j < 4; ++j) {
    scales[j] = static_cast<std::int8_t>(packed[j] & 63);
    minimums[j] = packed[j + 4] & 63;
    scales[j + 4] = static_cast<std::int8_t>((packed[j + 8] & 0x0F) | ((packed[j] >> 6) << 4));
    minimums[j + 4] = static_cast<std::uint8_t>((packed[j + 8] >> 4) | ((packed[j + 4] >> 6) << 4));
  }
}

void decode_q3_k_scales(const std::uint8_t* packed, std::int8_t* scales) {
  for (std::size_t i = 0; i < 16; ++i) {
    const int low = (packed[i % 8] >> (i / 8 * 4)) & 0x0F;
    const int high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
    scales[i] = static_cast<std::int8_t>((low | high << 4) - 32);
  }
}

void decode_iq4_xs_scales(const std::uint8_t* packed, std::int8_t* scales) {
  const auto high = load_unaligned<std::uint16_t>(packed);
  for (std::size_t i = 0; i < 8; ++i) {
    const int low = (packed[2 + i / 2] >> (i % 2 * 4)) & 0x0F;
    scales[i] = static_cast<std::int8_t>((low | ((high >> (2 * i)) & 3) << 4) - 32);
  }
}

SuperBlock decode_super_block(TensorType type, const std::byte* source) {
  SuperBlock block{};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  block.scale = load_half(bytes + scale_at(type));
  if (has_minimum(type)) block.minimum = load_half(bytes + scale_at(type) + 2);
  switch (type) {
    case TensorType::Q2_K:
      decode_q2_k(bytes, block);
      break;
    case TensorType::Q3_K:
      decode_q3_k(bytes, block);
      break;
    case TensorType::Q6_K:
      decode_q6_k(bytes, block);
      break;
    case TensorType::IQ4_XS:
      decode_iq4_xs(bytes, block);
      break;
    default:
      decode_q45_k(type, bytes, block);
  }
  return block;
}

void dequantize_row(TensorType type, const std::byte* source, std::size_t columns, float* out) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
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
        (is_super_block_type(type) ? dequantize_super_block : dequantize_block)(type, source, out + i);
    }
  }
}

}  // namespace engine::quant
