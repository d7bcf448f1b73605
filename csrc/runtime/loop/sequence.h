#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "model/kv_cache.h"
#include "runtime/grammar/grammar.h"
#include "runtime/loop/draft_context.h"
#include "runtime/loop/prefix_cache.h"
#include "runtime/loop/thinking.h"
#include "runtime/sampling/sampler.h"
#include "runtime/speculation/draft_planner.h"
#include "runtime/speculation/speculation.h"
#include "text/stop_matcher.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace engine::runtime {

enum class StopReason { None, EndOfSequence, StopString, StopToken, MaxTokens, ContextFull, Cancelled, Error };
// The protocol's name; empty for None.
std::string_view stop_reason_name(StopReason reason);

struct SequenceOptions {
  std::size_t context_length = 0;
  std::size_t max_tokens = 0;
  kernels::KvType kv_type = kernels::KvType::F16;
  SamplingOptions sampling;
  std::optional<std::size_t> logprobs;      // publish log probabilities: the token drawn and this many of the likeliest
  std::shared_ptr<const Grammar> grammar;   // that the text must follow; nullptr where any will do
  std::optional<ThinkingOptions> thinking;  // where the prompt opens it, the grammar is of the text behind it
  std::map<std::int32_t, std::string> spelled;  // what tokens print in place of what the vocabulary says
  std::vector<std::int32_t> end_tokens;
  std::vector<std::string> stop_strings;
  std::vector<std::int32_t> stop_string_tokens;  // the control tokens that stop strings spell
  std::vector<std::int32_t> stop_tokens;
  std::int64_t flush_ns = 0;      // how long a token may wait to be published with later ones
  std::int64_t prefill_rank = 0;  // the waiting prompt of the lowest rank in its group goes first
  // The most tokens of its prompt in a step in which others decode, and of all prompts in one in which it decodes.
  std::size_t prefill_share = std::numeric_limits<std::size_t>::max();
  std::size_t prefill_beside_decode = std::numeric_limits<std::size_t>::max();
  bool prefix_cache = false;                      // reads the prefix cache, and is kept there when it ends
  bool op_times = false;                          // publish its computing time by operation
  std::uint32_t choices = 1;                      // how many sequences share the prompt, each with draws of its own
  std::optional<SpeculationOptions> speculation;  // empty: one token a step
};

// One choice of an execution: its tokens, its cache, its text.
class Sequence {
 public:
  // Throws std::invalid_argument where the prompt is empty, leaves no room in the context or holds an unknown token,
  // where the KV type does not fit the heads, where recurrent layers would have to go back, where a draft model has
  // another number of tokens, and where a sampling option or a stop string is out of range.
  Sequence(std::uint64_t id, std::vector<std::int32_t> prompt, SequenceOptions options,
           const model::HyperParameters& shape, std::shared_ptr<const Vocabulary> vocabulary);

  // Behind its prompt, before anything is drawn: another choice of the same request. Throws std::bad_alloc.
  std::unique_ptr<Sequence> fork(std::uint32_t choice) const;

  std::uint64_t id() const { return id_; }  // the request's: its choices have the same
  std::uint32_t choice() const { return options_.sampling.choice; }
  const SequenceOptions& options() const { return options_; }
  model::KvCache& cache() { return cache_; }
  // The bytes of its cache and its draft model's: see KvCache.
  std::size_t kv_bytes() const;
  std::size_t kv_shared_bytes() const;
  std::size_t kv_forked_bytes() const;

  // What a prefix may hold: all of the prompt but the token whose logits are wanted.
  std::span<const std::int32_t> prompt_but_last() const { return std::span(tokens_).first(prompt_size_ - 1); }
  // Begins behind a prefix of that, once, before anything is computed. Throws std::bad_alloc.
  void begin_with(PrefixCache::Prefix prefix);
  // nullptr where it did not.
  const PrefixCache::Prefix* prefix() const { return prefix_.get(); }
  // Tokens of the prompt that did not have to be computed.
  std::size_t cached() const { return cached_; }

  // Makes room for a step of `rows`, with what the rows no longer see. One whose prefix may be kept for others keeps
  // all: they may begin anywhere. Throws std::bad_alloc.
  void make_room(std::size_t rows);
  // Positions whose keys and values are in the cache.
  std::size_t computed() const { return computed_; }
  std::span<const std::int32_t> computed_tokens() const { return std::span(tokens_).first(computed_); }
  // Tokens that have none yet: the rest of the prompt, or the one token last drawn.
  std::size_t waiting() const { return tokens_.size() - computed_; }
  bool prefilling() const { return computed_ < prompt_size_; }
  void mark_computed(std::size_t count) { computed_ += count; }

  // nullptr where there is none.
  Speculation* speculation() { return speculation_ ? &*speculation_ : nullptr; }
  // Guesses, for a step that computes the token last drawn, what follows it: no more than may yet be drawn. The draft
  // is empty, and a draft model's guesses are to come. Asks a grammar only where one more row is worth it that is as
  // likely as what grammars force. Throws std::bad_alloc.
  void guess(const StepRows& step);
  // The rows of that step behind the token's own.
  std::size_t draft_rows() const { return speculation_ ? speculation_->draft().size() : 0; }
  // What the next step computes: `count` of the tokens that wait, then the draft.
  std::vector<std::int32_t> step_tokens(std::size_t count) const;
  // What its draft model has computed of it; nullptr where none guesses.
  DraftContext* draft_context() { return draft_ ? &*draft_ : nullptr; }
  const DraftContext* draft_context() const { return draft_ ? &*draft_ : nullptr; }
  // Has it forget what is not the text.
  void settle_draft() {
    if (draft_) draft_->follow(tokens_);
  }
  // Tokens, guesses among them, that the draft model has not computed; and the first of them.
  std::size_t draft_waiting() const;
  std::vector<std::int32_t> draft_tokens(std::size_t count) const;
  // Behind each draw: whether the next row of the step is that of the token drawn. Its keys and values are then in the
  // cache once the token is marked as computed; those of all rows behind another token never count.
  bool follow_draft() { return speculation_ && speculation_->follow(tokens_.back()); }

  // Whether a draw takes the token of the largest logit and does nothing else that takes time.
  bool takes_largest() const { return options_.sampling.takes_largest() && !options_.grammar && !options_.logprobs; }
  // Finds, before each draw with a grammar, which of the vocabulary's first `tokens` it allows next. Throws
  // GrammarError.
  void constrain(std::size_t tokens);
  // Draws the next token from the logits of the last one. `largest` is the token of the largest logit.
  std::int32_t draw(std::span<const float> logits, std::int32_t largest, const Digest& logits_digest, Sampler& sampler);
  // Advances the grammar behind the token, after each draw with one. Throws GrammarError.
  void follow_grammar();
  // What the token last drawn does: it becomes text, and may end the sequence.
  struct Effect {
    std::string text;  // text that has become certain
    StopReason stop;
  };
  Effect take_effect();
  // Text still held back, for a sequence that is ended from outside.
  std::string finish_text();

  const Digest& digest() const { return digest_; }

 private:
  Sequence(const Sequence&) = default;
  bool is_end(std::int32_t token) const;
  // Why the token itself ends the sequence, without a text of its own; None where it does not.
  StopReason stop_at(std::int32_t token) const;
  // Whether the next token must follow the grammar.
  bool constrained() const { return matcher_ && !(thinking_ && thinking_->inside()); }
  std::int32_t choose(std::span<const float> logits, std::int32_t largest, Sampler& sampler);
  std::string_view piece(std::int32_t token) const;
  StopReason stop_after_text() const;

  // The tokens that spell, in the fewest pieces, what the grammar asks for next.
  std::vector<std::int32_t> forced_tokens(GrammarMatcher& matcher, std::size_t most);
  // The allowed token whose text begins with those of all others; empty where there is none, or the text may end.
  std::optional<std::int32_t> forced_token(std::span<const std::uint32_t> allowed) const;

  std::uint64_t id_;
  SequenceOptions options_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::size_t model_vocabulary_;
  std::size_t prompt_size_;
  std::vector<std::int32_t> tokens_;  // prompt and generated
  std::size_t computed_ = 0;
  std::size_t cached_ = 0;
  std::shared_ptr<const PrefixCache::Prefix> prefix_;
  model::KvCache cache_;
  Utf8Stream utf8_;
  StopMatcher stops_;
  std::optional<GrammarMatcher> matcher_;  // where there is a grammar
  std::optional<Thinking> thinking_;
  bool follows_grammar_ = false;  // the token last drawn does
  bool allowed_known_ = false;    // which tokens the grammar allows next has been found already
  Digest digest_;
  Mirostat mirostat_;
  std::optional<Speculation> speculation_;
  std::optional<DraftContext> draft_;  // where a draft model guesses
};

}  // namespace engine::runtime
