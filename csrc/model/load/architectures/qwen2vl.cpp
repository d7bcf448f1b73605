#include "model/load/architectures/parts.h"

namespace engine::model {

// The text part of Qwen2-VL and Qwen2.5-VL: Qwen2, with angles by a picture's time, height and width.
const Architecture kQwen2Vl{
    .name = "qwen2vl",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kQwen2.describe(keys, h);
          describe_picture_positions(keys, h);
        },
};

}  // namespace engine::model
