#include "runtime/sampling/logit_penalties.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace engine::runtime {
namespace {

constexpr double kMostPenalty = 10'000.0;  // keeps logits finite, and no temperature lets the token be drawn

// The tokens of a part of the history, ascending, with how often each is there.
struct Counts {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> times;
};

std::span<const std::int32_t> last(std::span<const std::int32_t> history, std::size_t count) {
  return history.last(std::min(count, history.size()));
}

Counts count_recent(std::span<const std::int32_t> history, const SamplingOptions& options) {
  const auto recent = last(history, options.repeat_last_n);
  std::vector<std::int32_t> sorted(recent.begin(), recent.end());
  std::ranges::sort(sorted);
  Counts counts;
  for (const std::int32_t token : sorted) {
    if (counts.tokens.empty() || counts.tokens.back() != token) {
      counts.tokens.push_back(token);
      counts.times.push_back(0);
    }
    ++counts.times.back();
  }
  return counts;
}

// For every place in `text`, how many tokens from there on are those that `text` begins with (the Z algorithm).
std::vector<std::size_t> common_beginnings(std::span<const std::int32_t> text) {
  std::vector<std::size_t> lengths(text.size(), 0);
  std::size_t begin = 0;  // where the stretch that agrees the furthest begins; it ends at `end`
  std::size_t end = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    std::size_t length = i < end ? std::min(end - i, lengths[i - begin]) : 0;
    while (i + length < text.size() && text[length] == text[i + length]) ++length;
    lengths[i] = length;
    if (i + length > end) {
      begin = i;
      end = i + length;
    }
  }
  return lengths;
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

struct Continuation {
  std::int32_t token;
  std::size_t length;  // tokens of the repetition that it would continue
};

// Each token once, ascending, with its longest repetition.
std::vector<Continuation> continuations(std::span<const std::int32_t> history, const SamplingOptions& options) {
  const auto window = last(history, options.dry_last_n);
  const std::vector<std::int32_t> backwards(window.rbegin(), window.rend());
  const auto breaks = [&](std::int32_t token) { return std::ranges::binary_search(options.dry_breakers, token); };
  const auto unbroken = static_cast<std::size_t>(std::ranges::find_if(backwards, breaks) - backwards.begin());
  std::vector<Continuation> found;
  if (unbroken < options.dry_allowed_length) return found;
  const std::vector<std::size_t> lengths = common_beginnings(backwards);
  for (std::size_t i = 1; i < backwards.size(); ++i) {
    const std::size_t length = std::min(lengths[i], unbroken);
    if (length >= options.dry_allowed_length && !breaks(backwards[i - 1])) found.push_back({backwards[i - 1], length});
  }
  std::ranges::sort(found, [](const Continuation& a, const Continuation& b) {
    return a.token != b.token ? a.token < b.token : a.length > b.length;
  });
  // No std::ranges::unique: clang before 16 does not compile the subrange that libstdc++'s returns.
  const auto same_token = [](const Continuation& a, const Continuation& b) { return a.token == b.token; };
  found.erase(std::unique(found.begin(), found.end(), same_token), found.end());
  return found;
}

}  // namespace

void add_bias(Candidates& candidates, const SamplingOptions& options) {
  candidates.change_logits(options.bias_tokens, [&](float& logit, std::size_t i) { logit += options.biases[i]; });
}

void penalize_repeats(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options) {
  const float penalty = options.repeat_penalty;
  candidates.change_logits(count_recent(history, options).tokens,
                           [&](float& logit, std::size_t) { logit = logit > 0 ? logit / penalty : logit * penalty; });
}

void penalize_presence(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options) {
  candidates.change_logits(count_recent(history, options).tokens,
                           [&](float& logit, std::size_t) { logit -= options.presence_penalty; });
}

void penalize_frequency(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options) {
  const Counts counts = count_recent(history, options);
  candidates.change_logits(counts.tokens, [&](float& logit, std::size_t i) {
    logit -= options.frequency_penalty * static_cast<float>(counts.times[i]);
  });
}

void penalize_repetitions(Candidates& candidates, std::span<const std::int32_t> history,
                          const SamplingOptions& options) {
  const std::vector<Continuation> found = continuations(history, options);
  std::vector<std::int32_t> tokens;
  tokens.reserve(found.size());
  for (const Continuation& continuation : found) tokens.push_back(continuation.token);
  candidates.change_logits(tokens, [&](float& logit, std::size_t i) {
    const std::size_t beyond = found[i].length - options.dry_allowed_length;
    const auto multiplier = static_cast<double>(options.dry_multiplier);
    logit -= static_cast<float>(multiplier * bounded_power(options.dry_base, beyond, kMostPenalty / multiplier));
  });
}

}  // namespace engine::runtime
