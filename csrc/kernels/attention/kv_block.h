#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace engine::kernels {

// Keys are attended in blocks of 64 counted from position 0. Inside a block keys lie in tiles of 16 so that a SIMD lane
// is a key; values lie token by token so that a lane is a channel.
inline constexpr std::size_t kKeyBlock = 64;
inline constexpr std::size_t kKeyTile = 16;
// Blocks are gathered into splits whose results are merged in ascending order.
inline constexpr std::size_t kKeySplit = 512;

// How keys and values are stored. One block of one head:
//   F16   keys f16 [4 tiles, head_dim, 16]; values f16 [64, head_dim]
//   Q8_0  keys u8, code + 128 [4 tiles, head_dim / 4, 16, 4], their scales f16 [4 tiles, head_dim / 32, 16];
//         values i8 [64, head_dim], their scales f16 [head_dim / 32, 64]
enum class KvType { F16, Q8_0 };

// Channels of one position and head that share a scale in Q8_0.
inline constexpr std::size_t kKvScaleChannels = 32;
// Channels of a key that lie side by side in Q8_0: what one lane of a dot product takes.
inline constexpr std::size_t kKvQuad = 4;

// nullopt for an unknown name; names are those of the plan: "f16", "q8_0".
constexpr std::optional<KvType> kv_type_named(std::string_view name) {
  if (name == "f16") return KvType::F16;
  if (name == "q8_0") return KvType::Q8_0;
  return std::nullopt;
}

constexpr bool kv_type_fits(KvType type, std::size_t head_dim) {
  return type == KvType::F16 || head_dim % kKvScaleChannels == 0;
}

// Bytes of the key, or of the value, of one position and head. The type must fit.
constexpr std::size_t kv_row_bytes(KvType type, std::size_t head_dim) {
  return type == KvType::F16 ? 2 * head_dim : head_dim + 2 * (head_dim / kKvScaleChannels);
}

// Where the scales of a Q8_0 block's keys, or values, begin.
constexpr std::size_t kv_scales_at(std::size_t head_dim) { return kKeyBlock * head_dim; }

}  // namespace engine::kernels
