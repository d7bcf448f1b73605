#include "model/jobs/text_evaluation.h"

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/cancelled.h"
#include "base/float_environment.h"
#include "base/logarithm.h"
#include "kernels/kernel_table.h"
#include "model/forward/forward_pass.h"
#include "model/forward/non_finite.h"
#include "model/kv_cache.h"

namespace engine::model {
namespace {

bool same_vocabulary(const Model& a, const Model& b) {
  if (a.shape().vocabulary != b.shape().vocabulary) return false;
  const gguf::ArrayView* of_a = a.file().array("tokenizer.ggml.tokens");
  const gguf::ArrayView* of_b = b.file().array("tokenizer.ggml.tokens");
  if (of_a == nullptr || of_b == nullptr) return of_a == of_b;
  return of_a->count == of_b->count && std::ranges::equal(of_a->bytes, of_b->bytes);
}

struct Row {
  const float* logits;  // [vocabulary]
  std::size_t vocabulary;
  std::size_t best;  // the first of the largest
  float largest;

  double below_largest(std::size_t token) const { return double{largest} - double{logits[token]}; }
};

}  // namespace

// One model, reading window after window into the same memory: what a cache holds of the window before is overwritten
// before it is read.
class TextEvaluation::Reader {
 public:
  Reader(const Model& model, ThreadTeam& team, std::size_t half, kernels::KvType kv_type)
      : model_(model), pass_(model, team, half), cache_(model.shape(), kv_type, 2 * half) {}

  // Computes the logits of positions [half, last). Only these are kept: none of the first half's is wanted.
  // `whose`: the model's name in NonFiniteResult.
  void read(const std::vector<std::int32_t>& tokens, std::size_t half, const std::string& whose,
            const std::atomic<bool>& cancelled) {
    read_part(tokens, 0, half, false, whose, cancelled);
    read_part(tokens, half, tokens.size() - 1, true, whose, cancelled);
  }

  const kernels::KernelTable& kernels() const { return model_.kernels(); }
  // The logits at position `half` + index.
  Row row(std::size_t index) const {
    const std::span<const float> logits = pass_.logits(index);
    const auto best = static_cast<std::size_t>(pass_.best_token(index));
    return {logits.data(), logits.size(), best, logits[best]};
  }

 private:
  void read_part(const std::vector<std::int32_t>& tokens, std::size_t begin, std::size_t end, bool want_every_logit,
                 const std::string& whose, const std::atomic<bool>& cancelled) {
    const auto first = tokens.begin();
    const std::array<Segment, 1> segments{
        {{.cache = &cache_,
          .first_position = begin,
          .tokens = {first + static_cast<std::ptrdiff_t>(begin), first + static_cast<std::ptrdiff_t>(end)},
          .want_every_logit = want_every_logit,
          .want_logits = false}}};
    // Few rows are computed without a look at the flag.
    if (!pass_.run(segments, cancelled) || cancelled.load(std::memory_order_relaxed)) {
      throw Cancelled();
    }
    if (const auto place = pass_.non_finite(0, pass_.rows())) throw NonFiniteResult(whose, *place);
  }

  const Model& model_;
  ForwardPass pass_;
  KvCache cache_;
};

TextEvaluation::TextEvaluation(std::shared_ptr<const Model> model, std::shared_ptr<const Model> base,
                               std::vector<std::int32_t> tokens, const TextEvaluationOptions& options)
    : model_(std::move(model)),
      base_(std::move(base)),
      tokens_(std::move(tokens)),
      options_(options),
      windows_total_(options.window == 0 ? 0 : tokens_.size() / options.window) {
  if (options_.threads == 0) throw std::invalid_argument("threads must be at least 1");
  if (options_.window < kMinWindow) {
    throw std::invalid_argument("a window must have at least " + std::to_string(kMinWindow) + " tokens");
  }
  check(*model_, options_.kv_type);
  if (base_) check(*base_, options_.base_kv_type);
  if (base_ && !same_vocabulary(*model_, *base_)) {
    throw std::invalid_argument("the model and its base have different vocabularies");
  }
  check_tokens();
}

void TextEvaluation::check(const Model& model, kernels::KvType kv_type) const {
  model.require_decoder();
  const KvCache fits(model.shape(), kv_type, options_.window);  // refused here, before anything runs
  if (options_.window <= model.shape().context_length) return;
  throw std::invalid_argument("a window of " + std::to_string(options_.window) + " tokens is beyond the model's " +
                              "context of " + std::to_string(model.shape().context_length));
}

void TextEvaluation::check_tokens() const {
  model_->require_tokens(tokens_);
  if (options_.bos && !model_->has_token(*options_.bos)) {
    throw std::invalid_argument("BOS token " + std::to_string(*options_.bos) + " is not in the model's vocabulary");
  }
  if (windows_total_ == 0) {
    throw std::invalid_argument("the text has " + std::to_string(tokens_.size()) + " tokens, and one window " +
                                std::to_string(options_.window));
  }
}

std::vector<std::int32_t> TextEvaluation::window_tokens(std::size_t window) const {
  const auto first = tokens_.begin() + static_cast<std::ptrdiff_t>(window * options_.window);
  std::vector<std::int32_t> tokens(first, first + static_cast<std::ptrdiff_t>(options_.window));
  tokens.front() = options_.bos.value_or(tokens.front());
  return tokens;
}

void TextEvaluation::run() {
  if (started_.exchange(true)) throw std::logic_error("a text evaluation runs once");
  ThreadTeam team(options_.threads, kJobSpin);
  Reader model(*model_, team, half(), options_.kv_type);
  std::optional<Reader> base;
  if (base_) base.emplace(*base_, team, half(), options_.base_kv_type);
  const std::size_t positions = windows_total_ * positions_of_window();
  scores_.nll.resize(positions);
  for (std::vector<double>* against_base : {&scores_.base_nll, &scores_.divergence}) {
    against_base->resize(base_ ? positions : 0);
  }
  scores_.same_best.resize(base_ ? positions : 0);
  for (std::size_t window = 0; window < windows_total_; ++window) {
    const std::vector<std::int32_t> tokens = window_tokens(window);
    const std::string which = "window " + std::to_string(window) + " of the text";
    model.read(tokens, half(), which, cancelled_);
    if (base) base->read(tokens, half(), which + ", read by the base", cancelled_);
    team.run([&](unsigned member) {
      const InferenceFloatEnvironment environment;
      score(window, member_range(positions_of_window(), member, team.size()), model, base ? &*base : nullptr);
    });
    windows_done_.store(window + 1, std::memory_order_relaxed);
  }
  finished_.store(true, std::memory_order_release);
}

void TextEvaluation::score(std::size_t window, Range positions, const Reader& model, const Reader* base) {
  for (std::size_t i = positions.begin; i < positions.end; ++i) {
    const std::size_t at = window * positions_of_window() + i;
    const auto next = static_cast<std::size_t>(tokens_[window * options_.window + half() + i + 1]);
    const Row row = model.row(i);
    const double log_weights =
        natural_logarithm(model.kernels().sum_exponentials(row.logits, row.largest, row.vocabulary));
    scores_.nll[at] = log_weights + row.below_largest(next);
    if (base == nullptr) continue;
    const Row base_row = base->row(i);
    const kernels::LogitComparison comparison =
        model.kernels().compare_logits(base_row.logits, row.logits, base_row.largest, row.vocabulary);
    const double base_log_weights = natural_logarithm(comparison.weights);
    scores_.base_nll[at] = base_log_weights + base_row.below_largest(next);
    // The mean of a - ln sum(exp(a)) - (b - ln sum(exp(b))) over the base's distribution.
    const double log_sums = (double{base_row.largest} - double{row.largest}) + (base_log_weights - log_weights);
    const double divergence = comparison.excesses / comparison.weights - log_sums;
    scores_.divergence[at] = std::max(0.0, divergence);
    scores_.same_best[at] = static_cast<std::uint8_t>(row.best == base_row.best);
  }
}

const TextEvaluation::Scores& TextEvaluation::scores() const {
  if (!finished_.load(std::memory_order_acquire)) throw std::logic_error("the evaluation has not been run to its end");
  return scores_;
}

}  // namespace engine::model
