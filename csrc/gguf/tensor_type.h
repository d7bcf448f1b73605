#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace engine::gguf {

// The tensor types this engine computes with. Values are those of the file format.
enum class TensorType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  BF16 = 30,
  MXFP4 = 39,
};

struct TypeTraits {
  TensorType type;
  std::string_view name;
  std::size_t block_elements;
  std::size_t block_bytes;
};

// nullopt for a type this engine does not know.
std::optional<TypeTraits> type_traits(std::uint32_t type_id);
const TypeTraits& type_traits(TensorType type);

}  // namespace engine::gguf
