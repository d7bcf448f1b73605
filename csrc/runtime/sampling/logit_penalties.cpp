#include "runtime/sampling/logit_penalties.h"

#include <algorithm>

namespace engine::runtime {
namespace {

constexpr double kMostPenalty = 10'000.0;  // keeps logits finite, and no temperature lets the token be drawn

std::span<const std::int32_t> last(std::span<const std::int32_t> history, std::size_t count) {
  return history.last(std::min(count, history.size()));
}

// base^exponent, by squaring, up to a bound; base at least 1.
double bounded_power(double base, std::size_t exponent, double bound) {
  double power = 1.0;
  for (; exponent > 0 && power < bound; exponent /= 2) {
    if (exponent % 2 == 1) power *= base;
    base = std::min(base * base, bound);
  }
  return std::min(power, bound);
}

}  // namespace

const TokenNumbers& LogitPenalties::count_recent(const SamplingOptions& options) {
  if (counted_) return counts_;
  counts_.clear(vocabulary_);
  for (const std::int32_t token : last(history_, options.repeat_last_n)) counts_.set(token, counts_.of(token) + 1);
  counted_ = true;
  return counts_;
}

void LogitPenalties::find_common_beginnings() {
  const std::span<const std::int32_t> text = backwards_;
  lengths_.assign(text.size(), 0);
  std::size_t begin = 0;  // where the stretch that agrees the furthest begins; it ends at `end`
  std::size_t end = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    std::size_t length = i < end ? std::min(end - i, static_cast<std::size_t>(lengths_[i - begin])) : 0;
    while (i + length < text.size() && text[length] == text[i + length]) ++length;
    lengths_[i] = static_cast<std::int32_t>(length);
    if (i + length > end) {
      begin = i;
      end = i + length;
    }
  }
}

void LogitPenalties::find_continuations(const SamplingOptions& options) {
  numbers_.clear(vocabulary_);
  const auto window = last(history_, options.dry_last_n);
  const auto breaks = [&](std::int32_t token) { return std::ranges::binary_search(options.dry_breakers, token); };
  const auto unbroken =
      static_cast<std::size_t>(std::find_if(window.rbegin(), window.rend(), breaks) - window.rbegin());
  if (unbroken < options.dry_allowed_length) return;
  backwards_.assign(window.rbegin(), window.rend());
  find_common_beginnings();
  for (std::size_t i = 1; i < backwards_.size(); ++i) {
    const std::size_t length = std::min(static_cast<std::size_t>(lengths_[i]), unbroken);
    const std::int32_t token = backwards_[i - 1];
    if (length < options.dry_allowed_length || breaks(token)) continue;
    numbers_.set(token, std::max(numbers_.of(token), static_cast<std::int32_t>(length)));
  }
}

void LogitPenalties::add_bias(Candidates& candidates, const SamplingOptions& options) {
  numbers_.clear(vocabulary_);
  std::int32_t number = 0;
  for (const std::int32_t token : options.bias_tokens) numbers_.set(token, ++number);
  candidates.change_logits(numbers_, [&](float& logit, std::int32_t which) {
    logit += options.biases[static_cast<std::size_t>(which) - 1];
  });
}

void LogitPenalties::penalize_repeats(Candidates& candidates, const SamplingOptions& options) {
  const float penalty = options.repeat_penalty;
  candidates.change_logits(count_recent(options),
                           [&](float& logit, std::int32_t) { logit = logit > 0 ? logit / penalty : logit * penalty; });
}

void LogitPenalties::penalize_presence(Candidates& candidates, const SamplingOptions& options) {
  candidates.change_logits(count_recent(options),
                           [&](float& logit, std::int32_t) { logit -= options.presence_penalty; });
}

void LogitPenalties::penalize_frequency(Candidates& candidates, const SamplingOptions& options) {
  candidates.change_logits(count_recent(options), [&](float& logit, std::int32_t count) {
    logit -= options.frequency_penalty * static_cast<float>(count);
  });
}

void LogitPenalties::penalize_repetitions(Candidates& candidates, const SamplingOptions& options) {
  find_continuations(options);
  const auto multiplier = static_cast<double>(options.dry_multiplier);
  candidates.change_logits(numbers_, [&](float& logit, std::int32_t length) {
    const std::size_t beyond = static_cast<std::size_t>(length) - options.dry_allowed_length;
    logit -= static_cast<float>(multiplier * bounded_power(options.dry_base, beyond, kMostPenalty / multiplier));
  });
}

}  // namespace engine::runtime
