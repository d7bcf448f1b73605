#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/grammar/grammar_library.h"
#include "text/vocabulary.h"

namespace engine::runtime {

// A grammar that cannot be compiled, or not be followed any further; the message is the library's.
class GrammarError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Compiling a grammar takes longer than it may.
class GrammarTimeout : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Whether a token's bit is set: the lowest of a word is the first. `allowed`: [(vocabulary + 31) / 32]
inline bool is_allowed(std::span<const std::uint32_t> allowed, std::int32_t token) {
  const auto index = static_cast<std::size_t>(token);
  return index / 32 < allowed.size() && (allowed[index / 32] >> (index % 32) & 1U) != 0;
}

// A vocabulary as the library reads it: made once, shared by all grammars. Immutable.
class GrammarVocabulary {
 public:
  // `end_tokens` are those that a grammar allows where a text may end. Throws GrammarError, where the library refuses
  // the vocabulary or an end token is not in it.
  GrammarVocabulary(std::shared_ptr<const GrammarLibrary> library, const Vocabulary& vocabulary,
                    std::span<const std::int32_t> end_tokens);

  const GrammarLibrary& functions() const { return *library_; }
  const LlgTokenizer* tokenizer() const { return tokenizer_.get(); }

 private:
  std::shared_ptr<const GrammarLibrary> library_;
  std::unique_ptr<LlgTokenizer, void (*)(LlgTokenizer*)> tokenizer_;
};

// A grammar compiled for a vocabulary. Immutable; any number of texts may follow it at once.
class Grammar {
 public:
  // `language` is json_schema, regex or lark. Throws GrammarError.
  Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, const std::string& language, const std::string& source);

  // The same and the tokens that may come first, on a thread of its own, which is left to itself if it takes longer
  // than `patience`: the library's limits end it. At most two such threads compile at a time. Throws GrammarError,
  // GrammarTimeout, std::system_error.
  static std::shared_ptr<const Grammar> compile(std::shared_ptr<const GrammarVocabulary> vocabulary,
                                                std::string language, std::string source,
                                                std::chrono::milliseconds patience);

  const GrammarLibrary& functions() const { return vocabulary_->functions(); }
  const LlgMatcher* start() const { return start_.get(); }

 private:
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::unique_ptr<LlgMatcher, void (*)(LlgMatcher*)> start_;
};

// Where in a grammar a text is. Every matcher begins from the grammar's own untouched state, so what it costs and
// allows depends on its tokens alone. Used by one thread at a time.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);
  GrammarMatcher(const GrammarMatcher& other);
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  // Finds the tokens that may come next, of those with ids below `tokens`. Throws GrammarError: none can, or finding
  // them exceeds the library's limits.
  void find_allowed(std::size_t tokens);
  // The tokens found last, for is_allowed().
  std::span<const std::uint32_t> allowed() const { return allowed_; }
  // Goes on behind a token that is allowed and ends nothing. Throws GrammarError: it was not allowed.
  void accept(std::int32_t token);
  // Whether the text is complete and nothing may follow it.
  bool finished() const { return grammar_->functions().is_stopped(matcher_.get()); }

 private:
  [[noreturn]] void fail() const;

  std::shared_ptr<const Grammar> grammar_;
  std::unique_ptr<LlgMatcher, void (*)(LlgMatcher*)> matcher_;
  std::vector<std::uint32_t> allowed_;
};

}  // namespace engine::runtime
