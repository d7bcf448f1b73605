#include "quant/block_encoding.h"

#include <cstring>

namespace engine::quant {
namespace {

using gguf::TensorType;

std::uint8_t byte_of(unsigned bits) { return static_cast<std::uint8_t>(bits); }

std::uint8_t* put_half(std::uint16_t half, std::uint8_t* out) {
  std::memcpy(out, &half, sizeof(half));
  return out + sizeof(half);
}

// Four bits of each: elements 0..15 low, 16..31 high.
void put_nibbles(const std::uint8_t* codes, std::uint8_t* out) {
  for (std::size_t i = 0; i < 16; ++i) out[i] = byte_of((codes[i] & 0x0Fu) | ((codes[i + 16] & 0x0Fu) << 4));
}

std::uint8_t* put_fifth_bits(const std::uint8_t* codes, std::uint8_t* out) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 32; ++i) bits |= ((codes[i] >> 4) & 1u) << i;
  std::memcpy(out, &bits, sizeof(bits));
  return out + sizeof(bits);
}

void encode_q45_k(TensorType type, const std::uint8_t* codes, std::uint8_t* out) {
  if (type == TensorType::Q5_K) {
    for (std::size_t l = 0; l < 32; ++l) {
      unsigned bits = 0;
      for (std::size_t j = 0; j < 8; ++j) bits |= ((codes[32 * j + l] >> 4) & 1u) << j;
      out[l] = byte_of(bits);
    }
    out += 32;
  }
  for (std::size_t pair = 0; pair < 4; ++pair, codes += 64, out += 32) {
    for (std::size_t l = 0; l < 32; ++l) out[l] = byte_of((codes[l] & 0x0Fu) | ((codes[l + 32] & 0x0Fu) << 4));
  }
}

void encode_q6_k(const std::uint8_t* codes, std::uint8_t* low, std::uint8_t* high) {
  for (std::size_t half = 0; half < 2; ++half, codes += 128, low += 64, high += 32) {
    for (std::size_t l = 0; l < 32; ++l) {
      low[l] = byte_of((codes[l] & 0x0Fu) | ((codes[l + 64] & 0x0Fu) << 4));
      low[l + 32] = byte_of((codes[l + 32] & 0x0Fu) | ((codes[l + 96] & 0x0Fu) << 4));
      high[l] = byte_of((codes[l] >> 4u) | ((codes[l + 32] >> 4u) << 2) | ((codes[l + 64] >> 4u) << 4) |
                        ((codes[l + 96] >> 4u) << 6));
    }
  }
}

}  // namespace

void encode_block(TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* codes,
                  std::byte* out) {
  std::uint8_t* at = put_half(scale, reinterpret_cast<std::uint8_t*>(out));
  if (type == TensorType::Q8_0) {
    std::memcpy(at, codes, 32);
    return;
  }
  if (type == TensorType::Q4_1 || type == TensorType::Q5_1) at = put_half(minimum, at);
  if (type == TensorType::Q5_0 || type == TensorType::Q5_1) at = put_fifth_bits(codes, at);
  put_nibbles(codes, at);
}

void encode_six_bit_scales(const std::uint8_t* scales, const std::uint8_t* minimums, std::uint8_t* packed) {
  for (std::size_t j = 0; j < 4; ++j) {
    packed[j] = byte_of(scales[j] | ((scales[j + 4] >> 4u) << 6));
    packed[j + 4] = byte_of(minimums[j] | ((minimums[j + 4] >> 4u) << 6));
    packed[j + 8] = byte_of((scales[j + 4] & 0x0Fu) | ((minimums[j + 4] & 0x0Fu) << 4));
  }
}

void encode_super_block(TensorType type, std::uint16_t scale, std::uint16_t minimum, const std::uint8_t* scales,
                        const std::uint8_t* codes, std::byte* out) {
  auto* at = reinterpret_cast<std::uint8_t*>(out);
  if (type == TensorType::Q6_K) {
    encode_q6_k(codes, at, at + 128);
    std::memcpy(at + 192, scales, 16);
    put_half(scale, at + 208);
    return;
  }
  at = put_half(minimum, put_half(scale, at));
  std::memcpy(at, scales, 12);
  encode_q45_k(type, codes, at + 12);
}

}  // namespace engine::quant
