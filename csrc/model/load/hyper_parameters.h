#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
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

// The part of a layer that carries from one position to the next.
enum class Mixer {
  Attention,
  ShortConvolution,  // of the last few positions: see short_convolution.h
};

// What differs from layer to layer.
struct LayerShape {
  // Newest positions that a row attends to, its own included; 0: all. Of a model that is not causal half of them on
  // either side.
  std::size_t window = 0;
  std::optional<std::size_t> rope = 0;  // index in HyperParameters::ropes; nullopt: the layer has no rope
  bool dense = false;                   // the layer has no experts, where the others have some
  Mixer mixer = Mixer::Attention;
};

// The sizes of what recurrent layers keep of a sequence in place of keys and values: see RecurrentState.
struct RecurrentShape {
  std::size_t taps = 0;       // positions that a convolution reads, its own included; 0: no layer is recurrent
  std::size_t channels = 0;   // that it reads of each
  std::size_t projected = 0;  // channels of all that the layer projects from its input
  std::size_t width = 0;      // of its result, which is projected to the residual

  std::size_t layer_floats() const { return taps == 0 ? 0 : (taps - 1) * channels; }
};

// What makes experts' weights of a router's outputs.
enum class Routing {
  Softmax,
  Sigmoid,
  SoftmaxOfUsed,  // of the outputs of those that a row uses, the largest
};

// A feed-forward of which each row uses a few parts.
struct ExpertShape {
  std::size_t count = 0;  // 0: there is none
  std::size_t used = 0;
  std::size_t feed_forward = 0;  // width of one
  std::size_t shared = 0;        // width of the feed-forward that all rows pass beside their experts; 0: there is none
  bool shares = false;           // a row says how much of that it adds, else all
  Routing routing = Routing::Softmax;
  std::size_t groups = 1;       // that experts are divided into, rated by the sum of their two best
  std::size_t groups_used = 1;  // the best, from which a row's experts are chosen
  bool biased = false;          // a file may have biases that take part in choosing experts, and not in weighing them
  bool normalized = false;      // the weights of those that a row uses add up to 1
  float scale = 1.0F;           // factor of the weights

  // Whether experts are chosen by something else than their scores.
  bool rates_apart() const { return biased || groups > 1; }
};

// Heads whose keys and values are projections of a small vector of each position, the latent: see latent_heads.h.
struct LatentShape {
  std::size_t rank = 0;         // width of a latent; 0: heads have keys and values of their own
  std::size_t query_rank = 0;   // width of what queries are projected from; 0: they are projected from the input
  std::size_t unrotated = 0;    // channels of a query or key before those that are rotated
  std::size_t value_width = 0;  // channels of a head's value

  std::size_t key_width(std::size_t rotated) const { return unrotated + rotated; }
};

enum class NormKind {
  Rms,
  Layer,  // the mean is taken away too, and a bias may be added
};

enum class HeadNorm {
  None,
  PerHead,     // each head of queries and keys for itself
  IfPresent,   // PerHead in models that have such norms
  OwnWeights,  // each head for itself, with weights of its own
  Whole,       // all heads of queries together, and all of keys
};

enum class Activation {
  Silu,
  Gelu,
  ClampedSilu,
  // Without a gate: of the up projection itself.
  UngatedGelu,
  UngatedSquaredRelu,
};
constexpr bool is_gated(Activation activation) { return activation < Activation::UngatedGelu; }

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
  std::size_t unused_layers = 0;  // behind those, in the file: they guess tokens further ahead
  std::size_t embedding = 0;      // width of the residual stream
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t feed_forward = 0;  // of a layer without experts; 0: there is none
  std::size_t vocabulary = 0;
  std::size_t context_length = 0;  // trained

  kernels::RopeLayout rope_layout = kernels::RopeLayout::Adjacent;
  std::size_t rope_dimensions = 0;
  std::size_t original_context = 0;  // trained before the angles were scaled
  std::vector<Rope> ropes;
  RopeFactors rope_factors = RopeFactors::None;  // applied to ropes[0]
  bool picture_positions = false;                // angles of pictures are by time, height and width

  NormKind norm = NormKind::Rms;
  float norm_epsilon = 0.0F;
  bool input_norms = true;                            // before attention and feed-forward
  bool output_norms = false;                          // behind them, before the residual is added
  bool residual_norms = false;                        // behind them, of the residual that they were added to
  bool embedding_norm = false;                        // of the tokens' vectors
  bool output_norm = true;                            // of what layers leave
  std::string_view output_norm_name = "output_norm";  // what files call that
  // The feed-forward reads what attention does, the residual before it: by the same norm where it has none of its own.
  bool parallel = false;
  std::string_view feed_forward_norm = "ffn_norm";  // what files call the norm before the feed-forward
  HeadNorm head_norm = HeadNorm::None;
  bool rotated_before_norm = false;  // heads

  bool causal = true;  // a row attends to no position behind its own; else texts are read whole, and there is no head
  float attention_scale = 0.0F;
  float attention_soft_cap = 0.0F;  // 0: none
  bool sinks = false;               // each head has a score that takes weight from those of the keys
  double temperature_scale = 0.0;   // queries are multiplied by 1 + scale * ln(1 + floor(position / step)); 0: by 1
  std::size_t temperature_step = 0;
  Activation activation = Activation::Silu;
  ExpertShape experts;
  LatentShape latent;  // with it, heads are as wide as a latent and the rotated channels
  RecurrentShape recurrent;

  bool learned_positions = false;  // each has a vector that is added to its token's
  bool token_types = false;        // so have the first text of a pair and the second, where the file brings vectors
  float embedding_scale = 1.0F;    // factor of the tokens' vectors
  float residual_scale = 1.0F;     // factor of what layers add
  float logit_scale = 1.0F;
  float logit_soft_cap = 0.0F;  // 0: none

  std::vector<LayerShape> layer_shapes;  // [layers]

  std::size_t query_width() const { return heads * head_dim; }
  std::size_t kv_width() const { return kv_heads * head_dim; }
  // What the heads' results are side by side.
  std::size_t attention_width() const { return latent.rank != 0 ? heads * latent.value_width : query_width(); }
  bool has_experts(std::size_t layer) const { return experts.count != 0 && !layer_shapes[layer].dense; }
  // The widest feed-forward that every row passes.
  std::size_t widest_dense() const { return std::max(feed_forward, experts.shared); }
  bool is_recurrent(std::size_t layer) const { return layer_shapes[layer].mixer != Mixer::Attention; }
  std::size_t recurrent_layers() const;
  // Those that have keys and values.
  std::size_t attention_layers() const { return layers - recurrent_layers(); }
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
