#include "runtime/loop/sequence.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <span>
#include <stdexcept>
#include <utility>

namespace engine::runtime {
namespace {

// Tokens that begin a forced text, at most: as many as a long word has letters.
constexpr std::size_t kMostBeginnings = 32;

// Recurrent layers keep the state behind the last position alone.
void refuse_going_back(const SequenceOptions& options) {
  if (options.prefix_cache) {
    throw std::invalid_argument("the model has recurrent layers, whose state at the end of a prefix is not kept");
  }
  if (options.speculation) {
    throw std::invalid_argument("the model has recurrent layers, which cannot forget a token guessed wrongly");
  }
}

bool contains(std::span<const std::int32_t> tokens, std::int32_t token) {
  return std::ranges::find(tokens, token) != tokens.end();
}

}  // namespace

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::None:
      return "";
    case StopReason::EndOfSequence:
      return "eos";
    case StopReason::StopString:
      return "stop_string";
    case StopReason::StopToken:
      return "stop_token";
    case StopReason::MaxTokens:
      return "max_tokens";
    case StopReason::ContextFull:
      return "context_full";
    case StopReason::Cancelled:
      return "cancelled";
    case StopReason::Error:
      return "error";
  }
  return "";
}

Sequence::Sequence(std::uint64_t id, std::vector<std::int32_t> prompt, SequenceOptions options,
                   const model::HyperParameters& shape, std::shared_ptr<const Vocabulary> vocabulary)
    : id_(id),
      options_(std::move(options)),
      vocabulary_(std::move(vocabulary)),
      model_vocabulary_(shape.vocabulary),
      prompt_size_(prompt.size()),
      tokens_(std::move(prompt)),
      cache_(shape, options_.kv_type, options_.context_length),
      stops_(options_.stop_strings),
      mirostat_(options_.sampling) {
  if (!shape.causal) throw std::invalid_argument("the model reads texts whole: it can go on with none");
  if (tokens_.empty()) throw std::invalid_argument("the prompt has no tokens");
  if (tokens_.size() >= options_.context_length) throw std::invalid_argument("the prompt fills the context");
  for (const std::int32_t token : tokens_) {
    if (token < 0 || static_cast<std::size_t>(token) >= shape.vocabulary) {
      throw std::invalid_argument("token " + std::to_string(token) + " is not in the model's vocabulary");
    }
  }
  check(options_.sampling, shape.vocabulary);
  if (shape.recurrent_layers() != 0) refuse_going_back(options_);
  if (options_.grammar) matcher_.emplace(options_.grammar);
  if (options_.thinking) thinking_.emplace(*options_.thinking, !options_.grammar);
  if (!options_.speculation) return;
  speculation_.emplace(*options_.speculation, options_.context_length);
  const std::optional<DraftModel>& draft = options_.speculation->draft_model;
  if (!draft) return;
  if (draft->model->shape().recurrent_layers() != 0) {
    throw std::invalid_argument("the draft model has recurrent layers, which cannot forget a token");
  }
  if (draft->model->shape().vocabulary != shape.vocabulary) {
    throw std::invalid_argument("the draft model has another vocabulary");
  }
  draft_.emplace(*draft, options_.kv_type, options_.context_length);
}

std::size_t Sequence::kv_bytes() const { return cache_.bytes() + (draft_ ? draft_->cache().bytes() : 0); }

std::size_t Sequence::kv_shared_bytes() const {
  return cache_.shared_bytes() + (draft_ ? draft_->cache().shared_bytes() : 0);
}

std::size_t Sequence::kv_forked_bytes() const {
  return cache_.forked_bytes() + (draft_ ? draft_->cache().forked_bytes() : 0);
}

void Sequence::begin_with(PrefixCache::Prefix prefix) {
  const std::vector<model::KvBlock> blocks = prefix.blocks();
  cache_.begin_with(blocks);
  prefix_ = std::make_shared<const PrefixCache::Prefix>(std::move(prefix));
  computed_ = cached_ = blocks.size() * kernels::kKeyBlock;
}

void Sequence::make_room(std::size_t rows) {
  if (!prefix_) cache_.slide(computed_);
  cache_.reserve(computed_ + rows);
}

std::unique_ptr<Sequence> Sequence::fork(std::uint32_t choice) const {
  std::unique_ptr<Sequence> other(new Sequence(*this));
  other->options_.sampling.choice = choice;
  other->cache_ = cache_.fork(computed_);
  if (draft_) other->draft_ = draft_->fork();
  return other;
}

std::vector<std::int32_t> Sequence::step_tokens(std::size_t count) const {
  const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(computed_);
  std::vector<std::int32_t> tokens(begin, begin + static_cast<std::ptrdiff_t>(count));
  if (speculation_) std::ranges::transform(speculation_->draft(), std::back_inserter(tokens), &Guess::token);
  return tokens;
}

void Sequence::guess(const StepRows& step) {
  if (!speculation_) return;
  Speculation& speculation = *speculation_;
  const std::size_t left =
      std::min(options_.max_tokens - (tokens_.size() - prompt_size_), options_.context_length - tokens_.size());
  const std::size_t most = std::min(left, speculation.max_rows()) - 1;
  std::vector<std::int32_t> forced;
  const bool worth = is_worth_a_row(speculation.chance(kForcedKind), speculation.row_cost(), step);
  if (most > 0 && matcher_ && constrained() && worth) forced = forced_tokens(*matcher_, most);
  speculation.begin_step(tokens_, forced, most);
  settle_draft();
}

std::size_t Sequence::draft_waiting() const {
  if (!speculation_ || !draft_) return 0;
  return tokens_.size() + speculation_->guesses().size() - draft_->computed();
}

std::vector<std::int32_t> Sequence::draft_tokens(std::size_t count) const {
  std::vector<std::int32_t> tokens;
  if (!speculation_ || !draft_) return tokens;
  const std::span<const Guess> guesses = speculation_->guesses();
  tokens.reserve(count);
  for (std::size_t i = draft_->computed(); tokens.size() < count; ++i) {
    tokens.push_back(i < tokens_.size() ? tokens_[i] : guesses[i - tokens_.size()].token);
  }
  return tokens;
}

std::vector<std::int32_t> Sequence::forced_tokens(GrammarMatcher& matcher, std::size_t most) {
  std::vector<std::int32_t> forced;
  try {
    if (!allowed_known_) matcher.find_allowed(model_vocabulary_);
    allowed_known_ = true;
    std::optional<std::int32_t> token = forced_token(matcher.allowed());
    if (!token) return forced;
    GrammarMatcher ahead(matcher);
    while (token) {
      forced.push_back(*token);
      ahead.accept(*token);
      if (forced.size() == most || ahead.finished()) break;
      ahead.find_allowed(model_vocabulary_);
      token = forced_token(ahead.allowed());
    }
  } catch (const GrammarError&) {  // NOLINT(bugprone-empty-catch): the draw will meet it
  }
  return forced;
}

std::optional<std::int32_t> Sequence::forced_token(std::span<const std::uint32_t> allowed) const {
  std::optional<std::int32_t> forced;
  std::string_view text;
  std::size_t count = 0;
  for (std::size_t word = 0; word < allowed.size(); ++word) {
    for (std::uint32_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const auto token = static_cast<std::int32_t>(word * 32 + static_cast<std::size_t>(std::countr_zero(bits)));
      const std::string_view spelt = piece(token);
      const bool longer = spelt.size() > text.size();
      const bool together = longer ? spelt.starts_with(text) : text.starts_with(spelt);
      if (++count > kMostBeginnings || spelt.empty() || !together || is_end(token)) return std::nullopt;
      if (longer) {
        forced = token;
        text = spelt;
      }
    }
  }
  return forced;
}

void Sequence::constrain(std::size_t tokens) {
  if (matcher_ && constrained() && !std::exchange(allowed_known_, false)) matcher_->find_allowed(tokens);
}

std::int32_t Sequence::draw(std::span<const float> logits, std::int32_t largest, const Digest& logits_digest,
                            Sampler& sampler) {
  digest_.fold(logits_digest);
  follows_grammar_ = constrained();
  const std::int32_t token = choose(logits, largest, sampler);
  if (thinking_) thinking_->follow(token, piece(token));
  tokens_.push_back(token);
  return token;
}

std::int32_t Sequence::choose(std::span<const float> logits, std::int32_t largest, Sampler& sampler) {
  if (thinking_ && thinking_->exhausted()) return thinking_->end();
  const SamplingOptions& sampling = options_.sampling;
  bool takes_largest = sampling.takes_largest();
  std::span<const std::uint32_t> allowed;
  if (matcher_ && follows_grammar_) {
    allowed = matcher_->allowed();
    takes_largest = takes_largest && is_allowed(allowed, largest);
  }
  const std::int32_t token = takes_largest ? largest
                                           : sampler.sample(logits, allowed, tokens_, tokens_.size(), sampling,
                                                            mirostat_, logits[static_cast<std::size_t>(largest)]);
  // What must follow a grammar cannot end before it has begun.
  return thinking_ && matcher_ && !follows_grammar_ && is_end(token) ? thinking_->end() : token;
}

void Sequence::follow_grammar() {
  if (matcher_ && follows_grammar_ && !is_end(tokens_.back())) matcher_->accept(tokens_.back());
}

std::string_view Sequence::piece(std::int32_t token) const {
  const auto spelled = options_.spelled.find(token);
  if (spelled != options_.spelled.end()) return spelled->second;
  const bool printable = static_cast<std::size_t>(token) < vocabulary_->size();
  return printable ? std::string_view(vocabulary_->piece(token)) : "";
}

Sequence::Effect Sequence::take_effect() {
  const std::int32_t token = tokens_.back();
  if (const StopReason stop = stop_at(token); stop != StopReason::None) return {finish_text(), stop};
  StopReason stop = stop_after_text();
  std::string text = stops_.append(utf8_.append(piece(token)));
  if (stops_.matched()) {
    stop = StopReason::StopString;
  } else if (stop != StopReason::None) {
    text += finish_text();
  }
  return {std::move(text), stop};
}

bool Sequence::is_end(std::int32_t token) const { return contains(options_.end_tokens, token); }

StopReason Sequence::stop_at(std::int32_t token) const {
  if (is_end(token)) return StopReason::EndOfSequence;
  if (contains(options_.stop_string_tokens, token)) return StopReason::StopString;
  if (contains(options_.stop_tokens, token)) return StopReason::StopToken;
  return StopReason::None;
}

StopReason Sequence::stop_after_text() const {
  if (matcher_ && constrained() && matcher_->finished()) return StopReason::EndOfSequence;
  if (tokens_.size() - prompt_size_ >= options_.max_tokens) return StopReason::MaxTokens;
  if (tokens_.size() >= options_.context_length) return StopReason::ContextFull;
  return StopReason::None;
}

std::string Sequence::finish_text() {
  std::string text = stops_.append(utf8_.finish());
  if (!stops_.matched()) text += stops_.finish();
  return text;
}

}  // namespace engine::runtime
