#include "runtime/sampling/log_probabilities.h"

#include <algorithm>

#include "base/logarithm.h"
#include "kernels/kernel_table.h"

namespace engine::runtime {
namespace {

// The `count` likeliest tokens, the likeliest first; of equals, the lower token id first.
std::vector<Candidate> likeliest(std::span<const float> logits, std::size_t count, Candidates& candidates) {
  std::vector<Candidate> best;
  if (count == 0) return best;
  candidates.gather(logits);
  candidates.keep_likeliest(count);
  for (std::size_t i = 0; i < candidates.size(); ++i) best.push_back(candidates.at(i));
  std::ranges::sort(best, precedes);
  return best;
}

}  // namespace

TokenLogProbabilities log_probabilities(const kernels::KernelTable& kernels, std::span<const float> logits,
                                        std::int32_t drawn, std::int32_t largest, std::size_t count,
                                        Candidates& scratch) {
  const float most = logits[static_cast<std::size_t>(largest)];
  const double log_sum = natural_logarithm(kernels.sum_exponentials(logits.data(), most, logits.size()));
  const auto value = [&](std::int32_t token) {
    return (static_cast<double>(logits[static_cast<std::size_t>(token)]) - static_cast<double>(most)) - log_sum;
  };
  TokenLogProbabilities result{.drawn = value(drawn), .likeliest = {}};
  for (const Candidate& one : likeliest(logits, count, scratch))
    result.likeliest.push_back({one.token, value(one.token)});
  return result;
}

}  // namespace engine::runtime
