#include "runtime/sampling/sampler.h"

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
                             const SamplingOptions& options, Mirostat& mirostat, std::optional<float> largest) {
  candidates_.gather(logits, allowed, largest);
  penalties_.begin(history, logits.size());
  for (const SamplerKind kind : options.order) {
    if (options.active(kind)) apply(kind, position, options, mirostat);
  }
  const Candidate drawn = candidates_.draw(random_fraction(options.seed, position, Draw::Token, options.choice));
  if (options.active(SamplerKind::Mirostat)) mirostat.observe(drawn);
  return drawn.token;
}

void Sampler::apply(SamplerKind kind, std::uint64_t position, const SamplingOptions& options, Mirostat& mirostat) {
  switch (kind) {
    case SamplerKind::LogitBias:
      return penalties_.add_bias(candidates_, options);
    case SamplerKind::RepeatPenalty:
      return penalties_.penalize_repeats(candidates_, options);
    case SamplerKind::PresencePenalty:
      return penalties_.penalize_presence(candidates_, options);
    case SamplerKind::FrequencyPenalty:
      return penalties_.penalize_frequency(candidates_, options);
    case SamplerKind::Dry:
      return penalties_.penalize_repetitions(candidates_, options);
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

}  // namespace engine::runtime
