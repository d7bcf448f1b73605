#include "model/load/architectures/parts.h"

namespace engine::model {

// Command R7B and Command A: windows in three of four layers, which alone rotate.
const Architecture kCohere2{
    .name = "cohere2",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.parallel = true;
          h.logit_scale = static_cast<float>(keys.positive_number("logit_scale"));
          describe_windows(keys, h, keys.size("attention.sliding_window"), 4, 0);
          rotate_windowed_layers_alone(h);
        },
};

}  // namespace engine::model
