#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gguf/tensor_type.h"

namespace engine::gguf {

// What stands before the tensor data of a GGUF v3 file.
class Header {
 public:
  // A key with its value, as it lies in another file.
  void add_pair(std::span<const std::byte> pair);
  void add_unsigned(std::string_view key, std::uint32_t value);
  // `dimensions`: contiguous dimension first. `offset`: from the begin of the tensor data.
  void add_tensor(std::string_view name, TensorType type, std::span<const std::uint64_t> dimensions,
                  std::uint64_t offset);

  // Padded to `alignment`.
  std::string bytes(std::uint64_t alignment) const;

 private:
  std::string pairs_;
  std::string tensors_;
  std::uint64_t pair_count_ = 0;
  std::uint64_t tensor_count_ = 0;
};

}  // namespace engine::gguf
