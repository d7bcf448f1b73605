#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace engine::runtime {

enum class SamplerKind {
  LogitBias,
  RepeatPenalty,
  PresencePenalty,
  FrequencyPenalty,
  Dry,
  TopK,
  TypicalP,
  TopP,
  MinP,
  Xtc,
  Temperature,
  Mirostat,
};

// The kind by the protocol's name. Throws std::invalid_argument for an unknown name.
SamplerKind sampler_kind(std::string_view name);

struct SamplingOptions {
  // What is done to the candidates, one after the other; each kind at most once.
  std::vector<SamplerKind> order = {SamplerKind::Temperature};

  float temperature = 0.0F;                // 0 keeps the likeliest alone, 1 is off
  std::int32_t top_k = 0;                  // 0 is off
  float top_p = 1.0F;                      // above 0; 1 is off
  float min_p = 0.0F;                      // up to 1; 0 is off
  float typical_p = 1.0F;                  // above 0; 1 is off
  float repeat_penalty = 1.0F;             // above 0; 1 is off
  float presence_penalty = 0.0F;           // 0 is off
  float frequency_penalty = 0.0F;          // 0 is off
  std::size_t repeat_last_n = 64;          // what the three penalties see; 0 switches them off
  float dry_multiplier = 0.0F;             // 0 is off
  float dry_base = 1.75F;                  // at least 1
  std::size_t dry_allowed_length = 2;      // at least 1
  std::size_t dry_last_n = 65536;          // at least 1
  std::vector<std::int32_t> dry_breakers;  // ascending
  float xtc_probability = 0.0F;            // up to 1; 0 is off
  float xtc_threshold = 0.1F;              // above 0, up to 0.5
  float mirostat_tau = 0.0F;               // bits; 0 is off
  float mirostat_eta = 0.1F;               // above 0, up to 1
  std::vector<std::int32_t> bias_tokens;   // ascending
  std::vector<float> biases;               // [bias_tokens]
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;  // which of the request's sequences

  // Whether the sampler may change anything.
  bool active(SamplerKind kind) const;
  // The token drawn is that of the largest logit, the first of equals, whatever the rest.
  bool takes_largest() const;
};

// Throws std::invalid_argument where an option is outside its range, a sampler is active and not in the order or twice
// in it, and where Mirostat is not the last or stands beside others that drop candidates.
void check(const SamplingOptions& options, std::size_t vocabulary);

}  // namespace engine::runtime
