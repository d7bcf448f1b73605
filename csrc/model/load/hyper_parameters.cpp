#include "model/load/hyper_parameters.h"

#include <algorithm>
#include <cmath>

#include "base/logarithm.h"
#include "model/load/architecture.h"
#include "model/load/keys.h"

namespace engine::model {
namespace {

// YaRN's growth of cosines and sines with the factor by which the context was extended.
double yarn_magnitude(double factor, double weight) {
  return factor <= 1.0 ? 1.0 : 0.1 * weight * natural_logarithm(factor) + 1.0;
}

Rope read_rope(const Keys& keys, const HyperParameters& h) {
  const std::string type = keys.string_or("rope.scaling.type", "linear");
  if (type != "none" && type != "linear" && type != "yarn" && type != "longrope") {
    throw UnsupportedModel("'" + keys.name("rope.scaling.type") + "' is " + gguf::quoted(type) +
                           ", which this engine does not have");
  }
  Rope rope;
  rope.base = keys.positive_number_or("rope.freq_base", 10000.0);
  rope.original_context = h.original_context;
  rope.magnitude = keys.positive_number_or("rope.scaling.attn_factor", 1.0);
  const double factor = keys.number_or("rope.scaling.factor", keys.number_or("rope.scale_linear", 0.0));
  if (factor < 0.0) throw gguf::MalformedFile("key '" + keys.name("rope.scaling.factor") + "' is negative");
  if (type == "none" || factor == 0.0) return rope;  // 0 stands for no factor
  rope.scale = 1.0 / factor;
  if (type != "yarn") return rope;
  rope.yarn = true;
  rope.fast = keys.positive_number_or("rope.scaling.yarn_beta_fast", 32.0);
  rope.slow = keys.positive_number_or("rope.scaling.yarn_beta_slow", 1.0);
  const double weight = keys.number_or("rope.scaling.yarn_log_multiplier", 0.0);
  rope.magnitude *= yarn_magnitude(factor, 1.0) / yarn_magnitude(factor, weight);
  return rope;
}

void read_layers(const Keys& keys, const Architecture& architecture, const gguf::File& file, HyperParameters& h) {
  h.layers = keys.size("block_count");
  // Every layer has tensors: more layers than these cannot be, and are not made room for.
  if (h.layers > file.tensors().size()) {
    throw gguf::MalformedFile("key '" + keys.name("block_count") + "' is " + std::to_string(h.layers) +
                              ", more than the file has tensors");
  }
  h.unused_layers = keys.size_or_none("nextn_predict_layers");
  if (h.unused_layers != 0 && !architecture.guesses_ahead) {
    throw UnsupportedModel("'" + keys.name("nextn_predict_layers") + "' in this architecture");
  }
  if (h.unused_layers >= h.layers) {
    throw gguf::MalformedFile("key '" + keys.name("nextn_predict_layers") + "' leaves no layer");
  }
  h.layers -= h.unused_layers;
}

void read_attention(const Keys& keys, HyperParameters& h) {
  h.heads = keys.size("attention.head_count");
  h.kv_heads = keys.size_of_layers_with("attention.head_count_kv", h.heads);
  h.head_dim = keys.size_or("attention.key_length", h.embedding / h.heads);
  if (h.heads % h.kv_heads != 0) {
    throw gguf::MalformedFile("key '" + keys.name("attention.head_count") + "' is not a multiple of key '" +
                              keys.name("attention.head_count_kv") + "'");
  }
  if (h.head_dim == 0) {
    throw gguf::MalformedFile("key '" + keys.name("attention.head_count") + "' leaves heads no width");
  }
  const bool latent = keys.has("attention.key_length_mla");  // then values are part of keys
  if (!latent && keys.size_or("attention.value_length", h.head_dim) != h.head_dim) {
    throw UnsupportedModel("values of another width ('" + keys.name("attention.value_length") + "') than keys");
  }
  if (h.head_dim % 2 != 0 && !keys.has("rope.dimension_count")) {
    throw UnsupportedModel("heads ('" + keys.name("attention.head_count") + "') of an odd width, " +
                           std::to_string(h.head_dim));
  }
  h.rope_dimensions = keys.size_or("rope.dimension_count", h.head_dim);
  if (h.rope_dimensions > h.head_dim || h.rope_dimensions % 2 != 0) {
    throw gguf::MalformedFile("key '" + keys.name("rope.dimension_count") + "' does not fit the head width");
  }
  const double scale = keys.number_or("attention.scale", 0.0);
  h.attention_scale = static_cast<float>(scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(h.head_dim)));
  h.original_context = keys.size_or("rope.scaling.original_context_length", h.context_length);
  h.ropes = {read_rope(keys, h)};
}

// Settings that an architecture has to provide for, or the model would run and answer wrongly.
void refuse_what_is_not_described(const Keys& keys, const HyperParameters& h) {
  if (keys.size_or_none("expert_count") != h.experts.count) {
    throw UnsupportedModel("mixture of experts ('" + keys.name("expert_count") + "') in this architecture");
  }
  if (keys.string_or("rope.scaling.type", "linear") == "longrope" && h.rope_factors != RopeFactors::LongAndShort) {
    throw UnsupportedModel("'" + keys.name("rope.scaling.type") + "' is 'longrope' in this architecture");
  }
  const std::vector<bool> without_heads = keys.layers_without("attention.head_count_kv", h.layers);
  for (std::size_t i = 0; i < h.layers; ++i) {
    if (!without_heads[i] || h.is_recurrent(i)) continue;
    throw UnsupportedModel("'" + keys.name("attention.head_count_kv") + "' differs from layer to layer");
  }
  for (const std::string_view key : {"rope.dimension_sections", "rope.scaling.alpha"}) {
    if (!keys.has(key) || (key == "rope.dimension_sections" && h.picture_positions)) continue;
    throw UnsupportedModel("'" + keys.name(key) + "', which this engine does not have");
  }
}

}  // namespace

std::size_t HyperParameters::recurrent_layers() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(layer_shapes, [](const LayerShape& layer) { return layer.mixer != Mixer::Attention; }));
}

std::size_t HyperParameters::widest_window() const {
  return layer_shapes.empty() ? 0 : std::ranges::max_element(layer_shapes, {}, &LayerShape::window)->window;
}

HyperParameters read_hyper_parameters(const gguf::File& file) {
  const Keys keys(file);
  const Architecture* architecture = find_architecture(keys.architecture());
  if (architecture == nullptr) throw UnsupportedModel("architecture " + gguf::quoted(keys.architecture()));
  HyperParameters h;
  h.architecture = keys.architecture();
  read_layers(keys, *architecture, file, h);
  h.embedding = keys.size("embedding_length");
  h.context_length = keys.size("context_length");
  h.norm = architecture->norm;
  h.norm_epsilon = static_cast<float>(keys.positive_number(h.norm == NormKind::Rms ? "attention.layer_norm_rms_epsilon"
                                                                                   : "attention.layer_norm_epsilon"));
  read_attention(keys, h);
  file.require_own_types();
  const gguf::TensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) throw gguf::MalformedFile("tensor 'token_embd.weight' is missing: the file has no weights");
  h.vocabulary = embedding->rows();
  h.layer_shapes.assign(h.layers, LayerShape{});
  architecture->describe(keys, h);
  refuse_what_is_not_described(keys, h);
  return h;
}

}  // namespace engine::model
