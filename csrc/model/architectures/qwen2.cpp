#include "model/forward_pass.h"

// Qwen2 and Qwen2.5: llama with biases on queries, keys and values, and rotary pairs half a head apart.
namespace engine::model {
namespace {

void compute_layer(Worker& worker, const Layer& layer, std::size_t index) {
  worker.normalize(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
  worker.project_heads(layer);
  worker.rotate_and_store(index, kernels::RopeLayout::Halves);
  worker.attend(index);
  worker.add_projection(layer.attention_output);
  worker.normalize(layer.feed_forward_norm, {&layer.gate, &layer.up});
  worker.gate_with_silu(layer.gate, layer.up);
  worker.add_projection(layer.down);
}

}  // namespace

const Architecture kQwen2{.name = "qwen2", .layer = compute_layer};

}  // namespace engine::model
