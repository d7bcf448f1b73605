#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "gguf/file.h"
#include "kernels/rope_layout.h"

namespace engine::model {

// How angles of the rotary embedding grow with the position: see RopeTable.
struct Rope {
  double base = 10000.0;
  double scale = 1.0;      // factor of the angles; with YaRN only of those that turn seldom
  double magnitude = 1.0;  // factor of cosines and sines
  bool yarn = false;
  // YaRN: pairs that turn more often than `fast` within the original context keep their angles, those that turn less
  // often than `slow` have them scaled.
  double fast = 32.0;
  double slow = 1.0;
  std::size_t original_context = 0;
};

// What differs from layer to layer.
struct LayerShape {
  std::size_t window = 0;               // newest positions that a row attends to, its own included; 0: all
  std::optional<std::size_t> rope = 0;  // index in HyperParameters::ropes; nullopt: the layer has no rope
};

// A feed-forward of which each row uses a few parts.
struct ExpertShape {
  std::size_t count = 0;  // 0: there is none
  std::size_t used = 0;
  std::size_t feed_forward = 0;  // width of one
  bool normalized = false;       // the weights of those that a row uses add up to 1
  float scale = 1.0F;            // factor of the weights
};

enum class HeadNorm {
  None,
  PerHead,  // each head of queries and keys for itself
  Whole,    // all heads of queries together, and all of keys
};

enum class Activation { Silu, Gelu };

// Divisors of the angles that a file may bring as tensors.
enum class RopeFactors {
  None,
  Single,        // rope_freqs.weight
  LongAndShort,  // rope_factors_long.weight for sequences of more positions than the original context, else short
};

// The shape of a decoder, from the file's metadata and what its architecture says of itself.
struct HyperParameters {
  std::string architecture;
  std::size_t layers = 0;
  std::size_t embedding = 0;  // width of the residual stream
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t feed_forward = 0;  // that every row passes: a dense layer's, or that of the shared expert; 0: none
  std::size_t vocabulary = 0;
  std::size_t context_length = 0;  // trained

  kernels::RopeLayout rope_layout = kernels::RopeLayout::Adjacent;
  std::size_t rope_dimensions = 0;
  std::size_t original_context = 0;  // trained before the angles were scaled
  std::vector<Rope> ropes;
  RopeFactors rope_factors = RopeFactors::None;  // applied to ropes[0]

  float norm_epsilon = 0.0F;
  bool input_norms = true;    // before attention and feed-forward
  bool output_norms = false;  // behind them, before the residual is added
  HeadNorm head_norm = HeadNorm::None;

  float attention_scale = 0.0F;
  float attention_soft_cap = 0.0F;  // 0: none
  double temperature_scale = 0.0;   // queries are multiplied by 1 + scale * ln(1 + floor(position / step)); 0: by 1
  std::size_t temperature_step = 0;
  Activation activation = Activation::Silu;
  ExpertShape experts;

  float embedding_scale = 1.0F;  // factor of the tokens' vectors
  float residual_scale = 1.0F;   // factor of what layers add
  float logit_scale = 1.0F;
  float logit_soft_cap = 0.0F;  // 0: none

  std::vector<LayerShape> layer_shapes;  // [layers]

  std::size_t query_width() const { return heads * head_dim; }
  std::size_t kv_width() const { return kv_heads * head_dim; }
  std::size_t window(std::size_t layer) const { return layer_shapes[layer].window; }
  std::size_t widest_window() const;  // 0 where no layer has one
  // Whether a sequence of at most `positions` needs the long factors.
  bool needs_long_factors(std::size_t positions) const {
    return rope_factors == RopeFactors::LongAndShort && positions > original_context;
  }
};

// Throws gguf::MalformedFile (a key is missing or impossible), UnsupportedModel (an architecture or a setting this
// engine lacks).
HyperParameters read_hyper_parameters(const gguf::File& file);

}  // namespace engine::model
