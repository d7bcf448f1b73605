#include "model/load/architectures/parts.h"

namespace engine::model {

// Gemma 2: norms also of what layers add, soft caps of scores and logits, windows in every other layer.
const Architecture kGemma2{
    .name = "gemma2",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kLayersOf27b = 46;
          describe_gemma(keys, h);
          h.output_norms = true;
          h.attention_soft_cap = static_cast<float>(keys.positive_number_or("attn_logit_softcapping", 50.0));
          h.logit_soft_cap = static_cast<float>(keys.positive_number_or("final_logit_softcapping", 30.0));
          if (h.layers == kLayersOf27b) h.attention_scale = scale_by_heads(h);
          Rope windowed = h.ropes[0];
          windowed.base = keys.positive_number_or("rope.freq_base_swa", windowed.base);
          h.ropes.push_back(windowed);
          describe_windows(keys, h, keys.size_or("attention.sliding_window", 4096), 2, 1);
        },
};

}  // namespace engine::model
