#include "runtime/sampling/mirostat.h"

#include "base/logarithm.h"

namespace engine::runtime {

namespace {

constexpr double kBitsPerNat = 0x1.71547652b82fep+0;  // 1 / ln 2

}  // namespace

void Mirostat::keep_expected(Candidates& candidates) {
  log_total_ = natural_logarithm(candidates.sum_exponentials());
  largest_ = candidates.largest();
  candidates.keep_within(bound_ / kBitsPerNat - log_total_);
}

void Mirostat::observe(const Candidate& drawn) {
  const double below = static_cast<double>(largest_) - static_cast<double>(drawn.logit);
  bound_ -= rate_ * ((log_total_ + below) * kBitsPerNat - target_);
}

}  // namespace engine::runtime
