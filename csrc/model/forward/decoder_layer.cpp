#include "model/forward/decoder_layer.h"

#include "model/forward/experts.h"
#include "model/forward/heads.h"
#include "model/forward/latent_heads.h"
#include "model/forward/short_convolution.h"
#include "model/forward/worker.h"

namespace engine::model {

namespace {

// hidden = what attention, or what a layer has in its place, makes of the residual and of earlier positions.
void mix(Worker& worker, const Layer& layer, std::size_t index) {
  if (worker.shape().layer_shapes[index].mixer == Mixer::ShortConvolution) {
    const ConvolutionWeights& convolution = layer.convolution;
    worker.normalize(layer.attention_norm, {&convolution.input_gate, &convolution.output_gate, &convolution.input});
    return ShortConvolution(worker, layer, index).compute();
  }
  const bool two_steps = layer.query_down.weight.rows != 0;
  worker.normalize(layer.attention_norm, {two_steps ? &layer.query_down : &layer.query, &layer.key, &layer.value});
  if (worker.shape().latent.rank == 0) {
    Heads::project(worker, layer, index);
    worker.attend(layer, index);
    return;
  }
  const LatentHeads heads(worker, layer, index);
  heads.project();
  worker.attend(layer, index);
  heads.project_values();
}

}  // namespace

void decoder_layer(Worker& worker, const Layer& layer, std::size_t index) {
  if (worker.shape().parallel) worker.keep_residual();
  mix(worker, layer, index);
  worker.add_attention(layer);
  worker.normalize_residual(layer.attention_residual_norm);
  const FeedForward& dense = layer.dense;
  if (layer.experts.empty()) {
    worker.normalize_for_feed_forward(layer.feed_forward_norm, {&dense.gate, &dense.up});
    worker.gate(dense);
    worker.add_projection(dense.down, layer.feed_forward_output_norm);
    worker.normalize_residual(layer.feed_forward_residual_norm);
    return;
  }
  worker.normalize_for_feed_forward(layer.feed_forward_norm,
                                    {&layer.router, &layer.dense_share, &dense.gate, &dense.up});
  choose_experts(worker, layer);
  const bool shared = dense.down.weight.rows != 0;
  if (shared) worker.gate(dense);
  add_experts(worker, layer);
  if (shared) add_share(worker, layer);
}

}  // namespace engine::model
