#include "text/byte_pairs.h"

#include <bit>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace engine::runtime {
namespace {

constexpr std::uint32_t kNoToken = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kNoPair = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kNoSymbol = std::numeric_limits<std::uint32_t>::max();

std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }

// The table's slots: a power of two, at least twice as many as entries.
std::size_t slots_for(std::size_t entries) { return std::bit_ceil(2 * entries + 2); }

// A doubly linked list of what a word consists of so far.
struct Symbol {
  std::uint32_t token;
  std::uint32_t before;
  std::uint32_t after;
};

struct Candidate {
  std::uint32_t rank;
  std::uint32_t left;
  std::uint64_t pair;  // stale where the symbols have since become others
  std::uint32_t merged;

  bool operator>(const Candidate& other) const { return std::tie(rank, left) > std::tie(other.rank, other.left); }
};

using Candidates = std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

const gguf::ArrayView& required_array(const gguf::File& file, std::string_view key) {
  const gguf::ArrayView* array = file.array(key);
  if (array == nullptr) throw gguf::MalformedFile("key " + gguf::quoted(key) + " is missing");
  return *array;
}

std::string spelled_in_alphabet(std::string_view word) {
  std::string spelled;
  for (const char byte : word) append_utf8(spelled, byte_alphabet()[static_cast<std::uint8_t>(byte)]);
  return spelled;
}

// "<0x0A>"
std::string byte_token(std::size_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
}

// Bytes of the character at the beginning, in well-formed UTF-8.
std::size_t character_bytes(std::string_view text) {
  std::size_t bytes = 1;
  while (bytes < text.size() && (static_cast<std::uint8_t>(text[bytes]) & 0xC0) == 0x80) ++bytes;
  return bytes;
}

}  // namespace

BytePairs::BytePairs(std::shared_ptr<const gguf::File> file, Spelling spelling)
    : file_(std::move(file)), spelling_(spelling) {
  texts_ = required_array(*file_, "tokenizer.ggml.tokens").strings();
  if (texts_.size() > kNoToken - byte_tokens_.size()) throw gguf::MalformedFile("the vocabulary has too many tokens");
  const auto merges = required_array(*file_, "tokenizer.ggml.merges").strings();
  if (merges.size() >= kNoToken) throw gguf::MalformedFile("'tokenizer.ggml.merges' are too many");
  add_tokens();
  add_bytes();
  add_merges(merges);
}

void BytePairs::add_tokens() {
  slots_.assign(slots_for(texts_.size()), kNoToken);
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    // No text has an empty one in it.
    if (texts_[i].empty()) continue;
    Token& slot = slots_[slot_of(texts_[i])];
    if (slot != kNoToken) {
      throw gguf::MalformedFile("the token " + gguf::quoted(texts_[i]) + " is in the vocabulary twice");
    }
    slot = static_cast<Token>(i);
  }
}

void BytePairs::add_bytes() {
  for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    const char character = static_cast<char>(byte);
    const Token* token = find(spelling_ == Spelling::Bytes ? spelled_in_alphabet({&character, 1}) : byte_token(byte));
    byte_tokens_[byte] = token != nullptr ? *token : kNoToken;
  }
}

void BytePairs::add_merges(const std::vector<std::string_view>& merges) {
  merges_.assign(slots_for(merges.size()), Merge{kNoPair, 0, kNoToken});
  std::string joined;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    // No symbol holds a space: bytes are spelled as printable characters, and characters have U+2581 for it.
    const std::size_t space = merges[rank].find(' ');
    const auto left_text = merges[rank].substr(0, space);
    const auto right_text = space == std::string_view::npos ? std::string_view() : merges[rank].substr(space + 1);
    joined.assign(left_text).append(right_text);
    const Token* left = find(left_text);
    const Token* right = find(right_text);
    const Token* merged = find(joined);
    if (left == nullptr || right == nullptr || merged == nullptr) {
      throw gguf::MalformedFile("'tokenizer.ggml.merges' do not fit the vocabulary: " + gguf::quoted(merges[rank]));
    }
    const std::uint64_t pair = pair_of(*left, *right);
    Merge& slot = merges_[merge_slot_of(pair)];
    if (slot.pair == kNoPair) slot = {pair, static_cast<std::uint32_t>(rank), *merged};
  }
}

// Where the text is, or would be inserted.
std::size_t BytePairs::slot_of(std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(text) & mask;
  while (slots_[slot] != kNoToken && texts_[slots_[slot]] != text) slot = (slot + 1) & mask;
  return slot;
}

const BytePairs::Token* BytePairs::find(std::string_view text) const {
  const Token& token = slots_[slot_of(text)];
  return token == kNoToken ? nullptr : &token;
}

std::size_t BytePairs::merge_slot_of(std::uint64_t pair) const {
  const std::size_t mask = merges_.size() - 1;
  // Fibonacci hashing: the high bits of the product depend on every bit of the pair.
  std::size_t slot = (pair * 0x9E3779B97F4A7C15u) >> 32 & mask;
  while (merges_[slot].pair != kNoPair && merges_[slot].pair != pair) slot = (slot + 1) & mask;
  return slot;
}

const BytePairs::Merge* BytePairs::find_merge(Token left, Token right) const {
  const Merge& merge = merges_[merge_slot_of(pair_of(left, right))];
  return merge.pair == kNoPair ? nullptr : &merge;
}

// A byte that is no symbol is the vocabulary's size and the byte: no merge is of it.
std::vector<BytePairs::Token> BytePairs::unmerged(std::string_view word) const {
  std::vector<Token> tokens;
  tokens.reserve(word.size());
  const auto append_apart = [&](char byte) {
    tokens.push_back(static_cast<Token>(texts_.size() + static_cast<std::uint8_t>(byte)));
  };
  if (spelling_ == Spelling::Bytes) {
    for (const char byte : word) {
      const Token token = byte_tokens_[static_cast<std::uint8_t>(byte)];
      if (token != kNoToken) {
        tokens.push_back(token);
      } else {
        append_apart(byte);
      }
    }
    return tokens;
  }
  while (!word.empty()) {
    const auto character = word.substr(0, character_bytes(word));
    if (const Token* token = find(character); token != nullptr) {
      tokens.push_back(*token);
    } else {
      for (const char byte : character) append_apart(byte);
    }
    word.remove_prefix(character.size());
  }
  return tokens;
}

void BytePairs::encode(std::string_view word, bool whole_words, std::vector<std::int64_t>& tokens) const {
  if (whole_words) {
    const Token* token = spelling_ == Spelling::Bytes ? find(spelled_in_alphabet(word)) : find(word);
    if (token != nullptr) {
      tokens.push_back(*token);
      return;
    }
  }
  std::vector<Symbol> symbols;  // [bytes or characters of the word]
  symbols.reserve(word.size());
  for (const Token token : unmerged(word)) {
    const auto place = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back({token, place - 1, place + 1});
  }
  if (symbols.empty()) return;
  symbols.front().before = kNoSymbol;
  symbols.back().after = kNoSymbol;

  Candidates candidates;
  const auto consider = [&](std::uint32_t left) {
    const std::uint32_t right = symbols[left].after;
    if (right == kNoSymbol) return;
    const Merge* merge = find_merge(symbols[left].token, symbols[right].token);
    if (merge != nullptr) candidates.push({merge->rank, left, merge->pair, merge->merged});
  };
  for (std::uint32_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.left];
    const std::uint32_t right = left.after;
    if (left.token == kNoToken || right == kNoSymbol || pair_of(left.token, symbols[right].token) != best.pair)
      continue;
    left.token = best.merged;
    left.after = symbols[right].after;
    symbols[right].token = kNoToken;
    if (left.after != kNoSymbol) symbols[left.after].before = best.left;
    if (left.before != kNoSymbol) consider(left.before);
    consider(best.left);
  }
  for (std::uint32_t i = 0; i != kNoSymbol; i = symbols[i].after) {
    Token token = symbols[i].token;
    if (token >= texts_.size()) token = byte_tokens_[token - texts_.size()];
    if (token != kNoToken) tokens.push_back(token);
  }
}

}  // namespace engine::runtime
