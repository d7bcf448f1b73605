#include "model/load/architectures/parts.h"

namespace engine::model {

// GPT-2: a vector for each position in place of a rotation, a feed-forward without a gate.
const Architecture kGpt2{
    .name = "gpt2",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.activation = Activation::UngatedGelu;
          h.learned_positions = true;
          for (LayerShape& layer : h.layer_shapes) layer.rope.reset();
        },
};

}  // namespace engine::model
