#include "model/load/architectures/parts.h"

namespace engine::model {

// The text part of Qwen3-VL with experts.
const Architecture kQwen3VlMoe{
    .name = "qwen3vlmoe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kQwen3Moe.describe(keys, h);
          describe_picture_positions(keys, h);
        },
};

}  // namespace engine::model
