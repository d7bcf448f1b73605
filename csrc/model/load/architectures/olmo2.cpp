#include "model/load/architectures/parts.h"

namespace engine::model {

// OLMo 2 and 3: what attention and feed-forward add is normalized, and not what they read. OLMo 3 has windows in three
// of four layers, whose angles are not scaled.
const Architecture kOlmo2{
    .name = "olmo2",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::Whole;
          h.input_norms = false;
          h.output_norms = true;
          const std::size_t window = keys.size_or_none("attention.sliding_window");
          if (window == 0) return;
          h.ropes.push_back({.base = h.ropes[0].base});
          describe_windows(keys, h, window, 4, 1);
        },
};

}  // namespace engine::model
