#include "model/load/architectures/parts.h"

namespace engine::model {

// Hunyuan, dense: heads of queries and keys are normalized behind their rotation.
const Architecture kHunyuanDense{
    .name = "hunyuan-dense",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::PerHead;
          h.rotated_before_norm = true;
        },
};

}  // namespace engine::model
