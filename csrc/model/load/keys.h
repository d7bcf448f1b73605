#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"

namespace engine::model {

// The keys of one architecture in a file, by their names without its prefix. What is missing, mistyped or out of range
// is refused by name: gguf::MalformedFile; what is well-formed and not provided for: UnsupportedModel.
class Keys {
 public:
  explicit Keys(const gguf::File& file);

  const std::string& architecture() const { return architecture_; }
  std::string name(std::string_view key) const { return architecture_ + "." + std::string(key); }
  bool has(std::string_view key) const { return file_.find(name(key)) != nullptr; }

  // Between 1 and 2^28. An array of an element a layer counts as these where they are all equal; where not:
  // UnsupportedModel.
  std::size_t size(std::string_view key) const;
  std::size_t size_or(std::string_view key, std::size_t fallback) const;
  // The same, or 0 where the key is missing.
  std::size_t size_or_none(std::string_view key) const;
  // The same as size_or, of an array that holds 0 for layers without; and which these are.
  std::size_t size_of_layers_with(std::string_view key, std::size_t fallback) const;
  std::vector<bool> layers_without(std::string_view key, std::size_t layers) const;

  // A finite number.
  double number_or(std::string_view key, double fallback) const;
  double positive_number(std::string_view key) const;
  double positive_number_or(std::string_view key, double fallback) const;

  bool boolean_or(std::string_view key, bool fallback) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;
  // One truth value a layer, or nullopt where the key is absent or holds a number.
  std::optional<std::vector<bool>> booleans(std::string_view key) const;
  // The key's array, or nullopt where it is absent or holds something else.
  std::optional<std::vector<std::int64_t>> array(std::string_view key) const;

 private:
  std::optional<std::uint64_t> whole_number(std::string_view key) const;
  // A fault where an array has not one entry for each layer of the file.
  void require_all_layers(std::string_view key, std::size_t entries) const;
  // The number that all elements are; a fault where they differ.
  std::uint64_t equal_number(std::string_view key, std::span<const std::int64_t> by_layer) const;
  std::size_t checked(std::string_view key, std::uint64_t value) const;

  const gguf::File& file_;
  std::string architecture_;
  std::uint64_t layers_;  // of the file, those that are not run among them; 0 where it does not say
};

}  // namespace engine::model
