#include "model/load/architectures/parts.h"

namespace engine::model {

// gpt-oss: each head has a sink, every other layer a window; experts have biases and a clamped activation, and are
// weighed among those that are used.
const Architecture kGptOss{
    .name = "gpt-oss",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_experts(keys, h, keys.size("expert_feed_forward_length"));
          h.experts.routing = Routing::SoftmaxOfUsed;
          h.rope_layout = kernels::RopeLayout::Halves;
          h.activation = Activation::ClampedSilu;
          h.sinks = true;
          h.feed_forward_norm = "post_attention_norm";
          describe_windows(keys, h, keys.size("attention.sliding_window"), 2, 0);
        },
};

}  // namespace engine::model
