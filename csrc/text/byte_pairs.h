#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"

namespace engine::runtime {

// How a vocabulary spells what it merges: bytes by their stand-ins in GPT-2's alphabet, or characters as they are,
// whose bytes have tokens of the form <0x00> where the character has none.
enum class Spelling : std::uint8_t { Bytes, Characters };

// BPE: what the bytes or the characters of a word merge into. Immutable.
class BytePairs {
 public:
  // Throws gguf::MalformedFile: tokens or merges are missing, a token is there twice, or a merge is of what is no
  // token.
  BytePairs(std::shared_ptr<const gguf::File> file, Spelling spelling);

  // Appends the tokens of a word, well-formed UTF-8, merging the best pair first, the leftmost of equal ones. With
  // `whole_words`, a word that is a token is taken, whatever merges would make of it. A byte that no token stands for
  // is left out, and still keeps its neighbours from merging.
  void encode(std::string_view word, bool whole_words, std::vector<std::int64_t>& tokens) const;

 private:
  using Token = std::uint32_t;
  // The first merge of a pair of tokens is the best.
  struct Merge {
    std::uint64_t pair;
    std::uint32_t rank;
    Token merged;
  };

  void add_tokens();
  void add_bytes();
  std::vector<Token> unmerged(std::string_view word) const;
  void add_merges(const std::vector<std::string_view>& merges);
  std::size_t slot_of(std::string_view text) const;
  const Token* find(std::string_view text) const;
  std::size_t merge_slot_of(std::uint64_t pair) const;
  const Merge* find_merge(Token left, Token right) const;

  std::shared_ptr<const gguf::File> file_;  // what texts_ points into
  Spelling spelling_;
  std::vector<std::string_view> texts_;  // [tokens]
  // Open addressing, at most half full.
  std::vector<Token> slots_;
  std::vector<Merge> merges_;
  std::array<Token, 256> byte_tokens_{};  // kNoToken where there is none
};

}  // namespace engine::runtime
