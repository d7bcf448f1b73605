#include "model/forward_pass.h"

// Llama 1 to 3.x, Mistral 7B, SmolLM2, TinyLlama, Yi: pre-norm decoder, rotary pairs side by side.
namespace engine::model {
namespace {

void compute_layer(Worker& worker, const Layer& layer, std::size_t index) {
  worker.normalize(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
  worker.project_heads(layer);
  worker.rotate_and_store(index, kernels::RopeLayout::Adjacent);
  worker.attend(index);
  worker.add_projection(layer.attention_output);
  worker.normalize(layer.feed_forward_norm, {&layer.gate, &layer.up});
  worker.gate_with_silu(layer.gate, layer.up);
  worker.add_projection(layer.down);
}

}  // namespace

const Architecture kLlama{.name = "llama", .layer = compute_layer};

}  // namespace engine::model
