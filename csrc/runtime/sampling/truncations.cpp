#include "runtime/sampling/truncations.h"

#include <cmath>
#include <cstddef>

#include "base/logarithm.h"
#include "kernels/reference/kernels.h"
#include "runtime/sampling/random.h"

namespace engine::runtime {

void keep_top_k(Candidates& candidates, const SamplingOptions& options) {
  candidates.keep_likeliest(static_cast<std::size_t>(options.top_k));
}

void keep_top_p(Candidates& candidates, const SamplingOptions& options) {
  const double wanted = candidates.weigh() * static_cast<double>(options.top_p);
  double sum = 0.0;
  candidates.keep_likeliest_until([&](const Candidate& candidate) {
    sum += candidate.weight;
    return sum >= wanted;
  });
}

void keep_min_p(Candidates& candidates, const SamplingOptions& options) {
  candidates.weigh();  // the most probable candidate weighs 1
  candidates.drop_if([&](const Candidate& candidate) { return candidate.weight < options.min_p; });
}

void keep_typical(Candidates& candidates, const SamplingOptions& options) {
  const double total = candidates.weigh();
  const float largest = candidates.largest();
  const double log_total = natural_logarithm(total);
  const auto surprise = [&](const Candidate& candidate) {
    return log_total - (static_cast<double>(candidate.logit) - static_cast<double>(largest));
  };
  double entropy = 0.0;
  for (const Candidate& candidate : candidates.list()) {
    if (candidate.weight > 0.0F) entropy += static_cast<double>(candidate.weight) / total * surprise(candidate);
  }
  candidates.set_weights(
      [&](const Candidate& candidate) { return static_cast<float>(std::fabs(surprise(candidate) - entropy)); });
  const double wanted = total * static_cast<double>(options.typical_p);
  double sum = 0.0;
  candidates.keep_ranked_until(
      [](const Candidate& a, const Candidate& b) {
        return a.weight != b.weight ? a.weight < b.weight : precedes(a, b);
      },
      [&](const Candidate& candidate) {
        sum += kernels::reference::exponential(candidate.logit - largest);
        return sum >= wanted;
      });
}

void exclude_top_choices(Candidates& candidates, std::uint64_t position, const SamplingOptions& options) {
  const auto probability = static_cast<double>(options.xtc_probability);
  if (uniform(options.seed, position, Draw::Xtc, options.choice) >= probability) return;
  const double least = candidates.weigh() * static_cast<double>(options.xtc_threshold);
  const auto is_top = [&](const Candidate& candidate) { return static_cast<double>(candidate.weight) >= least; };
  const Candidate* last = nullptr;
  for (const Candidate& candidate : candidates.list()) {
    if (is_top(candidate) && (last == nullptr || precedes(*last, candidate))) last = &candidate;
  }
  if (last == nullptr) return;
  const std::int32_t kept = last->token;
  candidates.drop_if([&](const Candidate& candidate) { return is_top(candidate) && candidate.token != kept; });
}

}  // namespace engine::runtime
