#include "model/load/architectures/parts.h"

namespace engine::model {

// SmolLM3: every fourth layer does not rotate.
const Architecture kSmollm3{
    .name = "smollm3",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          for (std::size_t i = 3; i < h.layers; i += 4) h.layer_shapes[i].rope.reset();
        },
};

}  // namespace engine::model
