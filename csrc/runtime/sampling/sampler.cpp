#include "runtime/sampling/sampler.h"

#include "runtime/sampling/logit_penalties.h"
#include "runtime/sampling/random.h"
#include "runtime/sampling/truncations.h"

namespace engine::runtime {
namespace {

void set_temperature(Candidates& candidates, float temperature) {
  if (temperature == 0.0F) {
    candidates.keep_likeliest(1);
  } else {
    candidates.scale(temperature);
  }
}

}  // namespace

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::uint32_t> allowed,
                             std::span<const std::int32_t> history, std::uint64_t position,
                             const SamplingOptions& options, Mirostat& mirostat) {
  candidates_.gather(logits, allowed);
  for (const SamplerKind kind : options.order) {
    if (options.active(kind)) apply(kind, history, position, options, mirostat);
  }
  const Candidate& drawn = draw(position, options);
  if (options.active(SamplerKind::Mirostat)) mirostat.observe(drawn);
  return drawn.token;
}

void Sampler::apply(SamplerKind kind, std::span<const std::int32_t> history, std::uint64_t position,
                    const SamplingOptions& options, Mirostat& mirostat) {
  switch (kind) {
    case SamplerKind::LogitBias:
      return add_bias(candidates_, options);
    case SamplerKind::RepeatPenalty:
      return penalize_repeats(candidates_, history, options);
    case SamplerKind::PresencePenalty:
      return penalize_presence(candidates_, history, options);
    case SamplerKind::FrequencyPenalty:
      return penalize_frequency(candidates_, history, options);
    case SamplerKind::Dry:
      return penalize_repetitions(candidates_, history, options);
    case SamplerKind::TopK:
      return keep_top_k(candidates_, options);
    case SamplerKind::TypicalP:
      return keep_typical(candidates_, options);
    case SamplerKind::TopP:
      return keep_top_p(candidates_, options);
    case SamplerKind::MinP:
      return keep_min_p(candidates_, options);
    case SamplerKind::Xtc:
      return exclude_top_choices(candidates_, position, options);
    case SamplerKind::Temperature:
      return set_temperature(candidates_, options.temperature);
    case SamplerKind::Mirostat:
      return mirostat.keep_expected(candidates_);
  }
}

const Candidate& Sampler::draw(std::uint64_t position, const SamplingOptions& options) {
  const double threshold = uniform(options.seed, position, Draw::Token, options.choice) * candidates_.weigh();
  double sum = 0.0;
  for (const Candidate& candidate : candidates_.list()) {
    sum += candidate.weight;
    if (sum > threshold) return candidate;
  }
  return candidates_.list().back();
}

}  // namespace engine::runtime
