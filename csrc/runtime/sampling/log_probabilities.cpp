#include "runtime/sampling/log_probabilities.h"

#include <algorithm>
#include <functional>

#include "base/logarithm.h"
#include "kernels/kernel_table.h"

namespace engine::runtime {
namespace {

// Tokens in ascending order: of equals the first stays before those that come later.
std::vector<std::int32_t> likeliest(std::span<const float> logits, std::size_t count) {
  std::vector<std::int32_t> best;
  const auto logit = [&](std::int32_t token) { return logits[static_cast<std::size_t>(token)]; };
  for (std::int32_t token = 0; count > 0 && token < static_cast<std::int32_t>(logits.size()); ++token) {
    if (best.size() == count && logit(token) <= logit(best.back())) continue;
    if (best.size() == count) best.pop_back();
    best.insert(std::ranges::upper_bound(best, logit(token), std::greater<>(), logit), token);
  }
  return best;
}

}  // namespace

TokenLogProbabilities log_probabilities(const kernels::KernelTable& kernels, std::span<const float> logits,
                                        std::int32_t drawn, std::int32_t largest, std::size_t count) {
  const float most = logits[static_cast<std::size_t>(largest)];
  const double log_sum = natural_logarithm(kernels.sum_exponentials(logits.data(), most, logits.size()));
  const auto value = [&](std::int32_t token) {
    return (static_cast<double>(logits[static_cast<std::size_t>(token)]) - static_cast<double>(most)) - log_sum;
  };
  TokenLogProbabilities result{.drawn = value(drawn), .likeliest = {}};
  for (const std::int32_t token : likeliest(logits, count)) result.likeliest.push_back({token, value(token)});
  return result;
}

}  // namespace engine::runtime
