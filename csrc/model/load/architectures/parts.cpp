#include "model/load/architectures/parts.h"

#include <algorithm>
#include <cmath>

namespace engine::model {
namespace {

void read_experts(const Keys& keys, HyperParameters& h, std::size_t feed_forward) {
  h.experts.count = keys.size("expert_count");
  h.experts.used = keys.size("expert_used_count");
  h.experts.feed_forward = feed_forward;
  if (h.experts.used > h.experts.count) {
    throw gguf::MalformedFile("key '" + keys.name("expert_used_count") + "' is " + std::to_string(h.experts.used) +
                              ", more than there are experts");
  }
  const double scale = keys.number_or("expert_weights_scale", 0.0);
  h.experts.scale = scale == 0.0 ? 1.0F : static_cast<float>(scale);
}

void refuse_groups(const Keys& keys) {
  if (keys.size_or_none("expert_group_count") > 1) {
    throw UnsupportedModel("groups of experts ('" + keys.name("expert_group_count") + "')");
  }
}

// Every group must have two experts to be rated by, and those that are used enough for a row.
void require_groups(const Keys& keys, const ExpertShape& experts) {
  if (experts.groups <= 1) return;
  const std::size_t size = experts.count / experts.groups;
  if (experts.count % experts.groups == 0 && size >= 2 && experts.groups_used <= experts.groups &&
      experts.groups_used * size >= experts.used) {
    return;
  }
  throw gguf::MalformedFile("key '" + keys.name("expert_group_count") + "' does not fit the experts");
}

}  // namespace

void describe_experts(const Keys& keys, HyperParameters& h, std::size_t feed_forward) {
  read_experts(keys, h, feed_forward);
  if (keys.size_or("expert_gating_func", kSoftmaxRouting) != kSoftmaxRouting) {
    throw UnsupportedModel("'" + keys.name("expert_gating_func") + "' is not the softmax");
  }
  refuse_groups(keys);
}

void describe_routed_experts(const Keys& keys, HyperParameters& h, std::size_t default_routing) {
  read_experts(keys, h, keys.size("expert_feed_forward_length"));
  const std::size_t routing = keys.size_or("expert_gating_func", default_routing);
  if (routing != kSoftmaxRouting && routing != kSigmoidRouting) {
    throw UnsupportedModel("'" + keys.name("expert_gating_func") + "' is neither the softmax nor the sigmoid");
  }
  h.experts.routing = routing == kSigmoidRouting ? Routing::Sigmoid : Routing::Softmax;
  h.experts.biased = true;
  h.experts.normalized = keys.boolean_or("expert_weights_norm", false);
  h.experts.shared = keys.size_or_none("expert_shared_count") * h.experts.feed_forward;
  h.experts.groups = std::max<std::size_t>(keys.size_or_none("expert_group_count"), 1);
  h.experts.groups_used = h.experts.groups == 1 ? 1 : keys.size("expert_group_used_count");
  if (h.experts.groups > 1 && h.experts.routing != Routing::Sigmoid) refuse_groups(keys);
  require_groups(keys, h.experts);
  describe_leading_layers(keys, h);
}

void describe_leading_layers(const Keys& keys, HyperParameters& h) {
  const std::size_t leading = keys.size_or_none("leading_dense_block_count");
  if (leading >= h.layers) {
    throw gguf::MalformedFile("key '" + keys.name("leading_dense_block_count") + "' leaves no layer with experts");
  }
  for (std::size_t i = 0; i < leading; ++i) h.layer_shapes[i].dense = true;
  if (leading != 0) describe_feed_forward(keys, h);
}

void rotate_windowed_layers_alone(HyperParameters& h) {
  for (LayerShape& layer : h.layer_shapes) {
    if (layer.window == 0) layer.rope.reset();
  }
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
  const auto named = keys.booleans(kPattern);
  if (!named && keys.has(kPattern)) pattern = keys.size_or_none(kPattern);
  for (std::size_t i = 0; i < h.layers; ++i) {
    const bool windowed = named ? (*named)[i] : pattern == 0 || i % pattern < pattern - 1;
    if (!windowed) continue;
    h.layer_shapes[i].window = window;
    h.layer_shapes[i].rope = rope;
  }
}

void describe_short_convolutions(const Keys& keys, HyperParameters& h) {
  h.rope_layout = kernels::RopeLayout::Halves;
  h.head_norm = HeadNorm::PerHead;
  h.output_norm_name = "token_embd_norm";
  const std::size_t taps = keys.size("shortconv.l_cache");
  if (taps < 2) throw gguf::MalformedFile("key '" + keys.name("shortconv.l_cache") + "' leaves nothing to carry");
  h.recurrent = {.taps = taps, .channels = h.embedding, .projected = 3 * h.embedding, .width = h.embedding};
  const std::vector<bool> without_heads = keys.layers_without("attention.head_count_kv", h.layers);
  const std::size_t window = keys.size_or_none("attention.sliding_window");
  for (std::size_t i = 0; i < h.layers; ++i) {
    if (without_heads[i]) {
      h.layer_shapes[i].mixer = Mixer::ShortConvolution;
    } else {
      h.layer_shapes[i].window = window;
    }
  }
}

void describe_picture_positions(const Keys& keys, HyperParameters& h) {
  constexpr std::size_t kNumbers = 3;
  h.picture_positions = true;
  constexpr std::string_view kKey = "rope.dimension_sections";
  if (!keys.has(kKey)) return;
  const auto channels = keys.array(kKey);
  if (!channels || std::ranges::any_of(*channels, [](std::int64_t count) { return count < 0; })) {
    throw gguf::MalformedFile("key '" + keys.name(kKey) + "' holds no sizes");
  }
  for (std::size_t i = kNumbers; i < channels->size(); ++i) {
    if ((*channels)[i] == 0) continue;
    throw UnsupportedModel("'" + keys.name(kKey) + "' has more than time, height and width");
  }
}

void describe_encoder(const Keys& keys, HyperParameters& h) {
  if (keys.boolean_or("attention.causal", false)) {
    throw UnsupportedModel("'" + keys.name("attention.causal") + "' is true in this architecture");
  }
  describe_feed_forward(keys, h);
  h.causal = false;
  h.token_types = true;
  h.embedding_norm = true;
  h.input_norms = false;
  h.residual_norms = true;
  h.output_norm = false;
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
