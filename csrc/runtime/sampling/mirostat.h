#pragma once

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/sampling_options.h"

namespace engine::runtime {

// Mirostat 2.0 (docs/sampling.md): keeps the surprise of what is drawn near a target, in bits.
class Mirostat {
 public:
  explicit Mirostat(const SamplingOptions& options)
      : bound_(2.0 * static_cast<double>(options.mirostat_tau)),
        target_(static_cast<double>(options.mirostat_tau)),
        rate_(static_cast<double>(options.mirostat_eta)) {}

  // The most surprise that a candidate of the next token may have.
  double bound() const { return bound_; }

  // Drops candidates that would surprise more, all but the likeliest if need be.
  void keep_expected(Candidates& candidates);
  // Moves the bound by how far the token drawn, one of those, lay from the target.
  void observe(const Candidate& drawn);

 private:
  double bound_;
  double target_;
  double rate_;
  // The largest logit of the last token's candidates, and the logarithm of their total.
  float largest_ = 0.0F;
  double log_total_ = 0.0;
};

}  // namespace engine::runtime
