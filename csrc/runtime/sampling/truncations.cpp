#include "runtime/sampling/truncations.h"

#include <cstddef>

#include "base/logarithm.h"
#include "runtime/sampling/random.h"

namespace engine::runtime {

void keep_top_k(Candidates& candidates, const SamplingOptions& options) {
  candidates.keep_likeliest(static_cast<std::size_t>(options.top_k));
}

void keep_top_p(Candidates& candidates, const SamplingOptions& options) {
  candidates.keep_share(static_cast<double>(options.top_p));
}

void keep_min_p(Candidates& candidates, const SamplingOptions& options) {
  candidates.keep_within(-natural_logarithm(static_cast<double>(options.min_p)));
}

void keep_typical(Candidates& candidates, const SamplingOptions& options) {
  candidates.keep_typical_share(static_cast<double>(options.typical_p));
}

void exclude_top_choices(Candidates& candidates, std::uint64_t position, const SamplingOptions& options) {
  const std::uint64_t coin = random_fraction(options.seed, position, Draw::Xtc, options.choice);
  if (static_cast<double>(coin) * 0x1p-53 >= static_cast<double>(options.xtc_probability)) return;
  const double least = static_cast<double>(options.xtc_threshold) * candidates.sum_exponentials();
  candidates.drop_within(-natural_logarithm(least));
}

}  // namespace engine::runtime
