#include "model/load/architectures/parts.h"

namespace engine::model {

// The text part of Qwen3-VL: Qwen3, with angles by a picture's time, height and width. What it adds to the first layers
// comes with pictures alone.
const Architecture kQwen3Vl{
    .name = "qwen3vl",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kQwen3.describe(keys, h);
          describe_picture_positions(keys, h);
        },
};

}  // namespace engine::model
