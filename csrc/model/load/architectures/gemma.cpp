#include "model/load/architectures/parts.h"

namespace engine::model {

// Gemma 1.
const Architecture kGemma{.name = "gemma", .describe = describe_gemma};

}  // namespace engine::model
