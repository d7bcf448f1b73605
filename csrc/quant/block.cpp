#include "quant/block.h"

#include <cstring>

#include "base/float16.h"

namespace engine::quant {
namespace {

using gguf::TensorType;

// Low nibbles hold elements 0..15, high nibbles 16..31.
void decode_nibbles(const std::uint8_t* packed, std::uint8_t* codes) {
  for (std::size_t i = 0; i < 16; ++i) {
    codes[i] = packed[i] & 0x0F;
    codes[i + 16] = packed[i] >> 4;
  }
}

void add_fifth_bits(const std::uint8_t* packed, std::uint8_t* codes) {
  const auto bits = load_unaligned<std::uint32_t>(packed);
  for (std::size_t i = 0; i < 32; ++i) codes[i] |= static_cast<std::uint8_t>(((bits >> i) & 1u) << 4);
}

SuperBlock decode_q45_k(TensorType type, const std::byte* source) {
  SuperBlock block{};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  block.scale = load_half(bytes);
  block.minimum = load_half(bytes + 2);
  decode_six_bit_scales(bytes + 4, block.scales.data(), block.minimums.data());
  const std::uint8_t* high = bytes + 16;
  const std::uint8_t* low = type == TensorType::Q5_K ? high + 32 : high;
  for (std::size_t pair = 0; pair < 4; ++pair) {
    std::uint8_t* even = block.codes.data() + 64 * pair;
    for (std::size_t l = 0; l < 32; ++l) {
      even[l] = low[32 * pair + l] & 0x0F;
      even[l + 32] = low[32 * pair + l] >> 4;
      if (type == TensorType::Q5_K) {
        even[l] |= static_cast<std::uint8_t>(((high[l] >> (2 * pair)) & 1) << 4);
        even[l + 32] |= static_cast<std::uint8_t>(((high[l] >> (2 * pair + 1)) & 1) << 4);
      }
    }
  }
  return block;
}

SuperBlock decode_q6_k(const std::byte* source) {
  SuperBlock block{};
  const auto* low = reinterpret_cast<const std::uint8_t*>(source);
  const std::uint8_t* high = low + 128;
  std::memcpy(block.scales.data(), high + 64, 16);
  block.scale = load_half(high + 80);
  for (std::size_t half = 0; half < 2; ++half, low += 64, high += 32) {
    std::uint8_t* codes = block.codes.data() + 128 * half;
    for (std::size_t l = 0; l < 32; ++l) {
      codes[l] = static_cast<std::uint8_t>((low[l] & 0x0F) | ((high[l] & 3) << 4));
      codes[l + 32] = static_cast<std::uint8_t>((low[l + 32] & 0x0F) | (((high[l] >> 2) & 3) << 4));
      codes[l + 64] = static_cast<std::uint8_t>((low[l] >> 4) | (((high[l] >> 4) & 3) << 4));
      codes[l + 96] = static_cast<std::uint8_t>((low[l + 32] >> 4) | ((high[l] >> 6) << 4));
    }
  }
  return block;
}

void dequantize_block(TensorType type, const std::byte* source, float* out) {
  const Block block = decode_block(type, source);
  const int offset = code_offset(type);
  for (std::size_t e = 0; e < kBlock; ++e) {
    const int code = type == TensorType::Q8_0 ? static_cast<std::int8_t>(block.codes[e]) : block.codes[e] - offset;
    out[e] = block.scale * static_cast<float>(code) + block.minimum;
  }
}

void dequantize_super_block(TensorType type, const std::byte* source, float* out) {
  const SuperBlock block = decode_super_block(type, source);
  for (std::size_t e = 0; e < kSuperBlock; ++e) {
    if (type == TensorType::Q6_K) {
      out[e] = block.scale * static_cast<float>(block.scales[e / 16]) * static_cast<float>(block.codes[e] - kQ6KOffset);
    } else {
      const float scale = block.scale * static_cast<float>(block.scales[e / 32]);
      const float minimum = block.minimum * static_cast<float>(block.minimums[e / 32]);
      out[e] = scale * static_cast<float>(block.codes[e]) - minimum;
    }
  }
}

}  // namespace

bool is_block_type(TensorType type) { return gguf::type_traits(type).block_elements == kBlock; }

bool is_super_block_type(TensorType type) { return gguf::type_traits(type).block_elements == kSuperBlock; }

int code_offset(TensorType type) {
  if (type == TensorType::Q4_0) return 8;
  if (type == TensorType::Q5_0) return 16;
  return 0;
}

Block decode_block(TensorType type, const std::byte* source) {
  Block block{};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source);
  block.scale = load_half(bytes);
  bytes += 2;
  if (type == TensorType::Q8_0) {
    std::memcpy(block.codes.data(), bytes, kBlock);
    return block;
  }
  if (type == TensorType::Q4_1 || type == TensorType::Q5_1) {
    block.minimum = load_half(bytes);
    bytes += 2;
  }
  const bool five_bits = type == TensorType::Q5_0 || type == TensorType::Q5_1;
  decode_nibbles(five_bits ? bytes + 4 : bytes, block.codes.data());
  if (five_bits) add_fifth_bits(bytes, block.codes.data());
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

SuperBlock decode_super_block(TensorType type, const std::byte* source) {
  return type == TensorType::Q6_K ? decode_q6_k(source) : decode_q45_k(type, source);
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
      case TensorType::Q4_K:
      case TensorType::Q5_K:
      case TensorType::Q6_K:
        dequantize_super_block(type, source, out + i);
        break;
      default:
        dequantize_block(type, source, out + i);
    }
  }
}

}  // namespace engine::quant
