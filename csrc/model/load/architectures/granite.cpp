#include "model/load/architectures/parts.h"

namespace engine::model {

// Granite: llama with factors of embeddings, of what layers add and of logits.
const Architecture kGranite{
    .name = "granite",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          describe_rope_factors(keys, h);
          const auto factor = [&](std::string_view key) {
            const double value = keys.number_or(key, 0.0);
            return value == 0.0 ? 1.0F : static_cast<float>(value);
          };
          h.embedding_scale = factor("embedding_scale");
          h.residual_scale = factor("residual_scale");
          h.logit_scale = static_cast<float>(1.0 / keys.positive_number("logit_scale"));
          if (keys.boolean_or("rope.scaling.finetuned", true)) return;
          for (LayerShape& layer : h.layer_shapes) layer.rope.reset();
        },
};

}  // namespace engine::model
