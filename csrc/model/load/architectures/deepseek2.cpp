#include <cmath>

#include "base/logarithm.h"
#include "model/load/architectures/parts.h"

namespace engine::model {
namespace {

// Scores grow with the context's extension, and cosines and sines do not.
void describe_yarn(const Keys& keys, HyperParameters& h) {
  Rope& rope = h.ropes[0];
  if (!rope.yarn) return;
  // Files hold a tenth of the published setting.
  const double growth = keys.positive_number("rope.scaling.yarn_log_multiplier");
  const double factor = 1.0 / rope.scale;
  const double magnitude = factor <= 1.0 ? 1.0 : growth * natural_logarithm(factor) + 1.0;
  rope.magnitude = keys.positive_number_or("rope.scaling.attn_factor", 1.0);
  h.attention_scale = static_cast<float>(static_cast<double>(h.attention_scale) * magnitude * magnitude);
}

void describe_latent_heads(const Keys& keys, HyperParameters& h) {
  LatentShape& latent = h.latent;
  latent.rank = keys.size("attention.kv_lora_rank");
  latent.query_rank = keys.size_or_none("attention.q_lora_rank");
  latent.value_width = keys.size("attention.value_length_mla");
  const std::size_t key_width = keys.size("attention.key_length_mla");
  if (h.rope_dimensions >= key_width || h.head_dim != latent.rank + h.rope_dimensions || h.kv_heads != 1) {
    throw gguf::MalformedFile("the widths of keys do not fit key '" + keys.name("attention.kv_lora_rank") + "'");
  }
  latent.unrotated = key_width - h.rope_dimensions;
  if (latent.unrotated > latent.rank || latent.value_width > latent.rank) {
    throw UnsupportedModel("heads ('" + keys.name("attention.key_length_mla") + "', '" +
                           keys.name("attention.value_length_mla") +
                           "') that are wider than what they are projected from");
  }
  h.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(key_width)));
}

}  // namespace

// DeepSeek V2, V3 and R1, Kimi K2, GLM-4.7 Flash: latent heads; experts behind a few dense layers, beside one that all
// rows share.
const Architecture kDeepseek2{
    .name = "deepseek2",
    .guesses_ahead = true,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_routed_experts(keys, h, kSoftmaxRouting);
          describe_latent_heads(keys, h);
          describe_yarn(keys, h);
          if (keys.has("attention.temperature_scale")) {
            throw UnsupportedModel("'" + keys.name("attention.temperature_scale") + "' in this architecture");
          }
        },
};

}  // namespace engine::model
