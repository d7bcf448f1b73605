#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/reference/table.h"
#include "runtime/random.h"

namespace engine::runtime {
namespace {

constexpr std::size_t kFirstSorted = 256;

bool precedes(float a_logit, std::int32_t a, float b_logit, std::int32_t b) {
  return a_logit != b_logit ? a_logit > b_logit : a < b;
}

std::int32_t greedy(std::span<const float> logits) {
  const auto best = std::ranges::max_element(logits);  // the first of equals
  return static_cast<std::int32_t>(best - logits.begin());
}

// Divides positive logits of tokens in `recent` by the penalty and multiplies the others, once a token.
void penalize(std::span<const std::int32_t> recent, float penalty, std::vector<float>& logits) {
  std::vector<std::int32_t> tokens(recent.begin(), recent.end());
  std::ranges::sort(tokens);
  const auto repeats = std::ranges::unique(tokens);
  tokens.erase(repeats.begin(), repeats.end());
  for (const std::int32_t token : tokens) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

void require(bool within, const char* name, const char* range) {
  if (!within) throw std::invalid_argument(std::string(name) + " must be " + range);
}

}  // namespace

void check(const SamplingOptions& options) {
  require(std::isfinite(options.temperature) && options.temperature >= 0, "temperature", "finite and at least 0");
  require(options.top_k >= 0, "top_k", "at least 0");
  require(options.top_p > 0 && options.top_p <= 1, "top_p", "above 0 and at most 1");
  require(options.min_p >= 0 && options.min_p <= 1, "min_p", "between 0 and 1");
  require(std::isfinite(options.repeat_penalty) && options.repeat_penalty > 0, "repeat_penalty", "finite and above 0");
}

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history,
                             std::uint64_t position, const SamplingOptions& options) {
  if (options.penalizes()) {
    penalized_.assign(logits.begin(), logits.end());
    penalize(history.last(std::min(options.repeat_last_n, history.size())), options.repeat_penalty, penalized_);
    logits = penalized_;
  }
  if (options.temperature == 0.0F) return greedy(logits);
  gather(logits);
  if (options.top_k > 0) keep_top_k(static_cast<std::size_t>(options.top_k));
  if (options.top_p < 1.0F) keep_top_p(options.top_p);
  if (options.min_p > 0.0F) keep_min_p(options.min_p);
  const double threshold = uniform(options.seed, position) * weigh(options.temperature);
  double sum = 0.0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.weight;
    if (sum > threshold) return candidate.token;
  }
  return candidates_.back().token;
}

void Sampler::gather(std::span<const float> logits) {
  candidates_.clear();
  sorted_ = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates_.push_back({logits[i], static_cast<std::int32_t>(i), 0.0F});
  }
}

void Sampler::sort_first(std::size_t count) {
  count = std::min(count, candidates_.size());
  if (count <= sorted_) return;
  const auto middle = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(
      candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_), middle, candidates_.end(),
      [](const Candidate& a, const Candidate& b) { return precedes(a.logit, a.token, b.logit, b.token); });
  sorted_ = count;
}

void Sampler::keep_top_k(std::size_t count) {
  sort_first(count);
  if (count < candidates_.size()) candidates_.resize(count);
}

void Sampler::keep_top_p(float mass) {
  const double wanted = weigh(1.0F) * static_cast<double>(mass);
  double sum = 0.0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (i >= sorted_) sort_first(std::max(kFirstSorted, 2 * sorted_));
    sum += candidates_[i].weight;
    if (sum >= wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

void Sampler::keep_min_p(float share) {
  weigh(1.0F);  // the most probable candidate weighs 1
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.weight < share; });
  sorted_ = std::min(sorted_, candidates_.size());
}

// Sets weights to exp((logit - largest) / temperature) and returns their sum, added in the candidates' order.
double Sampler::weigh(float temperature) {
  const auto largest = std::ranges::max_element(candidates_, {}, &Candidate::logit)->logit;
  double sum = 0.0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = kernels::reference::exponential((candidate.logit - largest) / temperature);
    sum += candidate.weight;
  }
  return sum;
}

}  // namespace engine::runtime
