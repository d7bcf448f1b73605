#include "gguf/header.h"

#include "base/checked.h"
#include "gguf/file.h"

namespace engine::gguf {
namespace {

constexpr std::uint32_t kVersion = 3;

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_string(std::string& out, std::string_view text) {
  append(out, std::uint64_t{text.size()});
  out.append(text);
}

}  // namespace

void Header::add_pair(std::span<const std::byte> pair) {
  pairs_.append(reinterpret_cast<const char*>(pair.data()), pair.size());
  ++pair_count_;
}

void Header::add_unsigned(std::string_view key, std::uint32_t value) {
  append_string(pairs_, key);
  append(pairs_, static_cast<std::uint32_t>(ValueType::U32));
  append(pairs_, value);
  ++pair_count_;
}

void Header::add_tensor(std::string_view name, TensorType type, std::span<const std::uint64_t> dimensions,
                        std::uint64_t offset) {
  append_string(tensors_, name);
  append(tensors_, static_cast<std::uint32_t>(dimensions.size()));
  for (const std::uint64_t dimension : dimensions) append(tensors_, dimension);
  append(tensors_, static_cast<std::uint32_t>(type));
  append(tensors_, offset);
  ++tensor_count_;
}

std::string Header::bytes(std::uint64_t alignment) const {
  std::string out("GGUF");
  append(out, kVersion);
  append(out, tensor_count_);
  append(out, pair_count_);
  out.append(pairs_).append(tensors_);
  out.resize(round_up<std::uint64_t>(out.size(), alignment));
  return out;
}

}  // namespace engine::gguf
