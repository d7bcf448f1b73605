#include "model/load/architectures/parts.h"

namespace engine::model {

// ERNIE 4.5, dense: llama.
const Architecture kErnie45{
    .name = "ernie4_5",
    .describe = [](const Keys& keys, HyperParameters& h) { describe_feed_forward(keys, h); },
};

}  // namespace engine::model
