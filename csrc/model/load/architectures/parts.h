#pragma once

#include "model/load/architecture.h"

// What several architectures have in common.
namespace engine::model {

// A dense feed-forward.
inline void describe_feed_forward(const Keys& keys, HyperParameters& h) {
  h.feed_forward = keys.size("feed_forward_length");
}

// Experts, `feed_forward` wide each, and nothing beside them. Throws gguf::MalformedFile where there is none, or fewer
// than a row uses; UnsupportedModel for a routing other than the softmax of all.
void describe_experts(const Keys& keys, HyperParameters& h, std::size_t feed_forward);

// Values of the key that names a routing.
inline constexpr std::size_t kSoftmaxRouting = 1;
inline constexpr std::size_t kSigmoidRouting = 2;

// Experts, each as wide as their own key says, with the routing that the file names or else the default; biases of the
// choice, layers without experts at the beginning, and a feed-forward that all rows share, where the file has them.
void describe_routed_experts(const Keys& keys, HyperParameters& h, std::size_t default_routing);

// The layers at the beginning that have a dense feed-forward in place of experts. Throws gguf::MalformedFile where no
// other is left.
void describe_leading_layers(const Keys& keys, HyperParameters& h);

// The width of an expert: its own key, or the dense width shared out among those that a row uses.
std::size_t expert_feed_forward(const Keys& keys);

// Factors of the angles: llama 3's, or where the scaling's type says so those of longrope.
void describe_rope_factors(const Keys& keys, HyperParameters& h);

// Layers with a window, rotated by ropes[rope]: those that the file's array names, or the first `pattern` - 1 of every
// `pattern` (which the file may also give; 0: all).
void describe_windows(const Keys& keys, HyperParameters& h, std::size_t window, std::size_t pattern, std::size_t rope);

// Short convolutions in the layers without KV heads, and what else all LFM2 have.
void describe_short_convolutions(const Keys& keys, HyperParameters& h);

// Takes the rotation from layers without a window.
void rotate_windowed_layers_alone(HyperParameters& h);

// Angles by a picture's time, height and width, which are all a token's position in text. Throws UnsupportedModel where
// a fourth number turns channels, which texts do not have.
void describe_picture_positions(const Keys& keys, HyperParameters& h);

// What BERT and its kin have.
void describe_encoder(const Keys& keys, HyperParameters& h);

// What all Gemmas have.
void describe_gemma(const Keys& keys, HyperParameters& h);

// The scale of scores in the largest Gemmas, which is not that of their heads' width.
float scale_by_heads(const HyperParameters& h);

}  // namespace engine::model
