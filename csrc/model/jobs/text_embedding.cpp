#include "model/jobs/text_embedding.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/cancelled.h"
#include "base/checked.h"
#include "base/float_environment.h"
#include "model/forward/non_finite.h"

namespace engine::model {
namespace {

std::size_t count_tokens(const std::vector<std::vector<std::int32_t>>& texts) {
  std::size_t count = 0;
  for (const auto& text : texts) count += text.size();
  return count;
}

}  // namespace

// One text at most is read in several steps; what others hold beyond a block each, they fill within one step.
std::size_t TextEmbedding::kv_positions(std::size_t texts, std::size_t longest, std::size_t step_tokens,
                                        std::size_t side_by_side) {
  const std::size_t alone = round_up(longest, kernels::kKeyBlock);
  const std::size_t others = std::min(texts, side_by_side) - 1;
  return others == 0 ? alone : alone + others * kernels::kKeyBlock + round_up(step_tokens, kernels::kKeyBlock);
}

TextEmbedding::TextEmbedding(std::shared_ptr<const Model> model, std::vector<std::vector<std::int32_t>> texts,
                             std::vector<std::size_t> second_begins, const TextEmbeddingOptions& options)
    : model_(std::move(model)),
      texts_(std::move(texts)),
      second_begins_(std::move(second_begins)),
      options_(options),
      tokens_total_(count_tokens(texts_)),
      sums_(model_->shape().embedding),
      state_(model_->shape().embedding),
      projection_(*model_) {
  check();
  for (std::size_t i = 0; i < std::min(texts_.size(), options_.side_by_side); ++i) {
    caches_.emplace_back(model_->shape(), options_.kv_type, texts_[i].size());
  }
}

void TextEmbedding::check() const {
  if (options_.threads == 0) throw std::invalid_argument("threads must be at least 1");
  if (options_.step_tokens == 0) throw std::invalid_argument("step_tokens must be at least 1");
  if (options_.side_by_side == 0) throw std::invalid_argument("side_by_side must be at least 1");
  if (!second_begins_.empty() && second_begins_.size() != texts_.size()) {
    throw std::invalid_argument("second_begins is not one number a text");
  }
  if (options_.pooling == Pooling::Rank && model_->weights().classifier.output.weight.rows == 0) {
    throw std::invalid_argument("the model has no classifier");
  }
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    if (texts_[i].empty()) throw std::invalid_argument("text " + std::to_string(i) + " has no tokens");
    if (texts_[i].size() > model_->shape().context_length) {
      throw std::invalid_argument("text " + std::to_string(i) + " has " + std::to_string(texts_[i].size()) +
                                  " tokens, beyond the model's context of " +
                                  std::to_string(model_->shape().context_length));
    }
    model_->require_tokens(texts_[i]);
  }
}

void TextEmbedding::run() {
  if (started_.exchange(true)) throw std::logic_error("a text embedding runs once");
  ThreadTeam team(options_.threads, kJobSpin);
  ForwardPass pass(*model_, team, std::min(step_rows(), tokens_total_));
  vectors_.resize(texts_.size() * dimension());
  Place next{0, 0};
  while (next.text < texts_.size()) {
    const std::vector<Part> parts = next_step(next);
    read(pass, parts);
    std::size_t first_row = 0;
    for (const Part& part : parts) {
      pool(pass, part, first_row);
      first_row += part.end - part.begin;
      if (part.end < texts_[part.text].size()) continue;
      finish(part.text);
      // A cache that no text follows in is emptied too: kv_positions() counts a block of it.
      const std::size_t next_in_cache = part.text + caches_.size();
      const std::size_t length = next_in_cache < texts_.size() ? texts_[next_in_cache].size() : 1;
      cache_of(part.text).restart(model_->shape(), length);
    }
    tokens_done_.fetch_add(first_row, std::memory_order_relaxed);
  }
  finished_.store(true, std::memory_order_release);
}

std::size_t TextEmbedding::step_rows() const {
  std::size_t rows = options_.step_tokens;
  if (model_->shape().causal) return rows;
  for (const auto& text : texts_) rows = std::max(rows, text.size());
  return rows;
}

std::vector<TextEmbedding::Part> TextEmbedding::next_step(Place& next) const {
  std::vector<Part> parts;
  std::size_t room = step_rows();
  while (room > 0 && next.text < texts_.size() && parts.size() < caches_.size()) {
    const std::size_t left = texts_[next.text].size() - next.position;
    if (!model_->shape().causal && left > room) break;
    const std::size_t size = std::min(room, left);
    parts.push_back({next.text, next.position, next.position + size});
    room -= size;
    next.position += size;
    if (next.position == texts_[next.text].size()) next = {next.text + 1, 0};
  }
  return parts;
}

void TextEmbedding::read(ForwardPass& pass, const std::vector<Part>& parts) {
  std::vector<Segment> segments;
  for (const Part& part : parts) {
    const auto first = texts_[part.text].begin();
    segments.push_back(
        {.cache = &cache_of(part.text),
         .first_position = part.begin,
         .tokens = {first + static_cast<std::ptrdiff_t>(part.begin), first + static_cast<std::ptrdiff_t>(part.end)},
         .want_every_logit = false,
         .want_logits = false,
         .second_text = second_begins_.empty() ? texts_[part.text].size() : second_begins_[part.text]});
  }
  // Few rows are computed without a look at the flag.
  if (!pass.run(segments, cancelled_) || cancelled_.load(std::memory_order_relaxed)) throw Cancelled();
}

void TextEmbedding::pool(const ForwardPass& pass, const Part& part, std::size_t first_row) {
  const InferenceFloatEnvironment environment;
  if (const auto place = pass.non_finite(first_row, part.end - part.begin)) {
    throw NonFiniteResult("text " + std::to_string(part.text), *place);
  }
  if (part.begin == 0) sums_.assign(state_.size(), 0.0);
  const std::size_t last = texts_[part.text].size() - 1;
  for (std::size_t position = part.begin; position < part.end; ++position) {
    const bool wanted = options_.pooling == Pooling::Mean || position == (options_.pooling == Pooling::Last ? last : 0);
    if (!wanted) continue;
    const std::size_t row = first_row + position - part.begin;
    pass.hidden_state(row, state_.data());
    if (const auto place = pass.non_finite_state(row, state_.data())) {
      throw NonFiniteResult("text " + std::to_string(part.text), *place);
    }
    for (std::size_t i = 0; i < state_.size(); ++i) sums_[i] += double{state_[i]};
  }
}

void TextEmbedding::finish(std::size_t text) {
  const InferenceFloatEnvironment environment;
  if (options_.pooling == Pooling::Mean) {
    const auto tokens = static_cast<double>(texts_[text].size());
    for (double& sum : sums_) sum /= tokens;
  }
  if (options_.pooling == Pooling::Rank) {
    vectors_[text] = projection_.judge(state_);
    require_finite(text, {&vectors_[text], 1});
    return;
  }
  if (!model_->weights().pooled.empty()) {
    std::ranges::transform(sums_, state_.begin(), [](double sum) { return static_cast<float>(sum); });
    const std::vector<float> projected = projection_.pooled(state_);
    require_finite(text, projected);
    sums_.assign(projected.begin(), projected.end());
  }
  double squares = 0.0;
  for (const double value : sums_) squares += value * value;
  // A vector without a direction stays as it is.
  const double length = options_.normalize && squares > 0.0 ? std::sqrt(squares) : 1.0;
  float* vector = vectors_.data() + text * dimension();
  for (std::size_t i = 0; i < dimension(); ++i) vector[i] = static_cast<float>(sums_[i] / length);
}

void TextEmbedding::require_finite(std::size_t text, std::span<const float> values) const {
  if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return;
  const NonFinitePlace behind{.part = model::Part::Output, .layer = 0, .position = texts_[text].size() - 1};
  throw NonFiniteResult("text " + std::to_string(text), behind);
}

const std::vector<float>& TextEmbedding::vectors() const {
  if (!finished_.load(std::memory_order_acquire)) throw std::logic_error("the embedding has not been run to its end");
  return vectors_;
}

}  // namespace engine::model
