#include "runtime/sampling/mirostat.h"

#include "base/logarithm.h"

namespace engine::runtime {

namespace {

constexpr double kBitsPerNat = 0x1.71547652b82fep+0;  // 1 / ln 2

}  // namespace

void Mirostat::keep_expected(Candidates& candidates) {
  log_total_ = natural_logarithm(candidates.weigh());
  largest_ = candidates.largest();
  candidates.drop_if(
      [&](const Candidate& candidate) { return candidate.logit < largest_ && surprise(candidate) > bound_; });
}

void Mirostat::observe(const Candidate& drawn) { bound_ -= rate_ * (surprise(drawn) - target_); }

double Mirostat::surprise(const Candidate& candidate) const {
  return (log_total_ - (static_cast<double>(candidate.logit) - static_cast<double>(largest_))) * kBitsPerNat;
}

}  // namespace engine::runtime
