#include "model/load/architectures/parts.h"

namespace engine::model {

// EXAONE 4: what attention and feed-forward add is normalized, and not what they read. The largest has windows in three
// of four layers, and rotates in those alone.
const Architecture kExaone4{
    .name = "exaone4",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kLayersOf32b = 64;
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.rope_factors = RopeFactors::Single;
          h.head_norm = HeadNorm::PerHead;
          h.input_norms = false;
          h.output_norms = true;
          if (h.layers != kLayersOf32b) return;
          describe_windows(keys, h, keys.size_or("attention.sliding_window", 4096), 4, 0);
          rotate_windowed_layers_alone(h);
        },
};

}  // namespace engine::model
