#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gguf/file.h"

namespace engine::runtime {

// The bytes that each token prints.
class Vocabulary {
 public:
  // Throws gguf::MalformedFile, UnsupportedModel (a tokenizer model other than llama, bert, gpt2 and gemma4).
  explicit Vocabulary(const gguf::File& file);
  explicit Vocabulary(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}

  std::size_t size() const { return pieces_.size(); }
  // Empty for control tokens. Throws std::out_of_range.
  const std::string& piece(std::int64_t token) const;
  // Well-formed UTF-8, whatever the tokens. Throws std::out_of_range.
  std::string detokenize(std::span<const std::int64_t> tokens) const;

 private:
  std::vector<std::string> pieces_;
  // SentencePiece puts a space before a text; it is no part of the text.
  bool leading_space_added_ = false;
};

}  // namespace engine::runtime
