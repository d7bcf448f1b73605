#include "model/load/architectures/parts.h"

namespace engine::model {

// EmbeddingGemma: Gemma 3 that reads texts whole, its windows to both sides; the pooled vector is projected twice.
const Architecture kGemmaEmbedding{
    .name = "gemma-embedding",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kGemma3.describe(keys, h);
          h.causal = false;
        },
};

}  // namespace engine::model
