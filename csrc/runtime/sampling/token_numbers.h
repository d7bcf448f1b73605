#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace engine::runtime {

// Positive numbers of some tokens, found by the token. Keeps its memory.
class TokenNumbers {
 public:
  // Begins without any, for tokens of a vocabulary.
  void clear(std::size_t vocabulary) {
    for (const std::int32_t token : tokens_) numbers_[static_cast<std::size_t>(token)] = 0;
    tokens_.clear();
    if (numbers_.size() < vocabulary) numbers_.resize(vocabulary, 0);
  }
  void set(std::int32_t token, std::int32_t number) {
    std::int32_t& place = numbers_[static_cast<std::size_t>(token)];
    if (place == 0) tokens_.push_back(token);
    place = number;
  }
  // 0 where the token has none.
  std::int32_t of(std::int32_t token) const { return numbers_[static_cast<std::size_t>(token)]; }
  // Those that have one, each once.
  std::span<const std::int32_t> tokens() const { return tokens_; }

 private:
  std::vector<std::int32_t> numbers_;
  std::vector<std::int32_t> tokens_;
};

}  // namespace engine::runtime
