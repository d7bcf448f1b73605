#include "model/load/architectures/parts.h"

namespace engine::model {

// Gemma 3: heads of queries and keys are normalized; five of six layers have a window, and angles of their own.
const Architecture kGemma3{
    .name = "gemma3",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kLayersOf27b = 62;
          describe_gemma(keys, h);
          h.output_norms = true;
          h.head_norm = HeadNorm::PerHead;
          h.logit_soft_cap = static_cast<float>(keys.number_or("final_logit_softcapping", 0.0));
          if (h.layers == kLayersOf27b) h.attention_scale = scale_by_heads(h);
          const std::size_t window = keys.size_or_none("attention.sliding_window");
          if (window == 0) return;
          h.ropes.push_back(
              {.base = keys.positive_number_or("rope.freq_base_swa", 10000.0), .magnitude = h.ropes[0].magnitude});
          describe_windows(keys, h, window, 6, 1);
        },
};

}  // namespace engine::model
