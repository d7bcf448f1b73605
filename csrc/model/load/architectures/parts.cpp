#include "model/load/architectures/parts.h"

#include <cmath>

namespace engine::model {
namespace {

constexpr std::size_t kSoftmaxRouting = 1;

}  // namespace

void describe_experts(const Keys& keys, HyperParameters& h, std::size_t feed_forward) {
  h.experts.count = keys.size("expert_count");
  h.experts.used = keys.size("expert_used_count");
  h.experts.feed_forward = feed_forward;
  if (h.experts.used > h.experts.count) {
    throw gguf::MalformedFile("key '" + keys.name("expert_used_count") + "' is " + std::to_string(h.experts.used) +
                              ", more than there are experts");
  }
  if (keys.size_or("expert_gating_func", kSoftmaxRouting) != kSoftmaxRouting) {
    throw UnsupportedModel("'" + keys.name("expert_gating_func") + "' is not the softmax");
  }
  if (keys.size_or_none("expert_group_count") > 1) {
    throw UnsupportedModel("groups of experts ('" + keys.name("expert_group_count") + "')");
  }
  const double scale = keys.number_or("expert_weights_scale", 0.0);
  h.experts.scale = scale == 0.0 ? 1.0F : static_cast<float>(scale);
}

std::size_t expert_feed_forward(const Keys& keys) {
  if (const std::size_t own = keys.size_or_none("expert_feed_forward_length"); own != 0) return own;
  const std::size_t width = keys.size("feed_forward_length") / keys.size("expert_used_count");
  if (width == 0) throw gguf::MalformedFile("key '" + keys.name("feed_forward_length") + "' leaves experts no width");
  return width;
}

void describe_rope_factors(const Keys& keys, HyperParameters& h) {
  const bool longrope = keys.string_or("rope.scaling.type", "linear") == "longrope";
  h.rope_factors = longrope ? RopeFactors::LongAndShort : RopeFactors::Single;
}

void describe_windows(const Keys& keys, HyperParameters& h, std::size_t window, std::size_t pattern, std::size_t rope) {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const auto named = keys.booleans(kPattern, h.layers);
  if (!named && keys.has(kPattern)) pattern = keys.size_or_none(kPattern);
  for (std::size_t i = 0; i < h.layers; ++i) {
    const bool windowed = named ? (*named)[i] : pattern == 0 || i % pattern < pattern - 1;
    if (windowed) h.layer_shapes[i] = {window, rope};
  }
}

void describe_gemma(const Keys& keys, HyperParameters& h) {
  describe_feed_forward(keys, h);
  if (h.ropes[0].yarn)
    throw UnsupportedModel("'" + keys.name("rope.scaling.type") + "' is 'yarn' in this architecture");
  h.rope_layout = kernels::RopeLayout::Halves;
  h.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(h.head_dim)));
  h.activation = Activation::Gelu;
  h.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(h.embedding)));
}

float scale_by_heads(const HyperParameters& h) {
  const std::size_t width = h.embedding / h.heads;
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
}

}  // namespace engine::model
