#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace engine::runtime {

struct ThinkingOptions {
  std::optional<std::int32_t> begin;  // the token that opens thinking; empty where it is none of the vocabulary
  std::int32_t end = 0;
  std::optional<std::size_t> limit;  // most tokens between the two
  bool opened = false;               // the prompt ends within thinking
};

// Where a sequence is in its thinking: a part at the begin of its text, between two tokens.
class Thinking {
 public:
  // `may_begin`: where the prompt has not opened it, the text may.
  Thinking(const ThinkingOptions& options, bool may_begin)
      : options_(options), inside_(options.opened), may_begin_(may_begin && !options.opened) {}

  bool inside() const { return inside_; }
  std::int32_t end() const { return options_.end; }
  // Whether the end must come next.
  bool exhausted() const { return inside_ && options_.limit && tokens_ >= *options_.limit; }
  // Goes on behind a token, which prints `piece`.
  void follow(std::int32_t token, std::string_view piece);

 private:
  ThinkingOptions options_;
  bool inside_;
  bool may_begin_;
  std::size_t tokens_ = 0;
};

}  // namespace engine::runtime
