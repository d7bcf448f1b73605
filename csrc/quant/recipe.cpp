#include "quant/recipe.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace engine::quant {
namespace {

using gguf::TensorType;

constexpr std::string_view kBlockPrefix = "blk.";

// Norms, routers, positions and other tensors that are small, or no factor of a product.
constexpr std::array<std::string_view, 35> kKept{
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
};

enum class Role { Output, TokenEmbedding, AttentionValue, AttentionKey, AttentionOutput, Down, GateOrUp, Other };

bool contains(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

// The order matters: a fused projection is one of values.
Role role_of(std::string_view name) {
  if (name == "output.weight") return Role::Output;
  if (is_embedding(name)) return Role::TokenEmbedding;
  for (const std::string_view value : {"attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"}) {
    if (contains(name, value)) return Role::AttentionValue;
  }
  if (contains(name, "attn_k.weight")) return Role::AttentionKey;
  if (contains(name, "attn_q.weight")) return Role::Other;
  if (contains(name, "attn_output.weight")) return Role::AttentionOutput;
  if (contains(name, "ffn_up") || contains(name, "ffn_gate")) return Role::GateOrUp;
  if (contains(name, "ffn_down")) return Role::Down;
  return Role::Other;
}

// The number after "blk."; -1 where there is none.
int layer_of(std::string_view name) {
  int layer = -1;
  if (name.starts_with(kBlockPrefix)) {
    std::from_chars(name.data() + kBlockPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

bool is_quantized(const RecipeTensor& tensor) {
  const bool matrix = std::ranges::any_of(tensor.dimensions.subspan(1), [](std::uint64_t size) { return size > 1; });
  if (!matrix || !tensor.name.ends_with("weight")) return false;
  if (tensor.name == "position_embd.weight" || tensor.name == "token_types.weight") return false;
  return std::ranges::none_of(kKept, [&](std::string_view part) { return contains(tensor.name, part); });
}

struct RecipeTraits {
  Recipe recipe;
  std::string_view name;
  std::uint32_t file_type;
  TensorType type;  // of most tensors
};

constexpr auto kRecipes = std::to_array<RecipeTraits>({
    {Recipe::Q8_0, "q8_0", 7, TensorType::Q8_0},
    {Recipe::Q6_K, "q6_k", 18, TensorType::Q6_K},
    {Recipe::Q5_K_M, "q5_k_m", 17, TensorType::Q5_K},
    {Recipe::Q4_K_M, "q4_k_m", 15, TensorType::Q4_K},
    {Recipe::Q4_K_S, "q4_k_s", 14, TensorType::Q4_K},
    {Recipe::Q4_0, "q4_0", 2, TensorType::Q4_0},
    {Recipe::IQ4_XS, "iq4_xs", 30, TensorType::IQ4_XS},
    {Recipe::Q3_K_M, "q3_k_m", 12, TensorType::Q3_K},
});

const RecipeTraits& traits_of(Recipe recipe) { return *std::ranges::find(kRecipes, recipe, &RecipeTraits::recipe); }

// The first and last eighth of the layers, and every third between.
bool gets_more_bits(int layer, int layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// Models whose few value heads serve many queries: their values are small, and get more bits.
bool has_small_values(const ModelTraits& model) {
  if (model.architecture == "jais2") return model.layers == 68;
  if (model.layers != 80) return false;
  if (model.architecture == "llama") return model.experts != 8 && model.heads != model.kv_heads;
  return model.architecture == "qwen2" || model.architecture == "deci" || model.architecture == "olmo";
}

bool fits(TensorType type, std::uint64_t columns) { return columns % gguf::type_traits(type).block_elements == 0; }

TensorType smaller_blocks(TensorType type) {
  switch (type) {
    case TensorType::Q3_K:
      return TensorType::Q4_0;
    case TensorType::IQ4_XS:
      return TensorType::IQ4_NL;
    case TensorType::Q4_K:
      return TensorType::Q5_0;
    case TensorType::Q5_K:
      return TensorType::Q5_1;
    default:
      return TensorType::Q8_0;
  }
}

// A type of smaller blocks where the preferred one's do not divide the columns.
TensorType fitting_type(TensorType preferred, std::uint64_t columns) {
  if (fits(preferred, columns)) return preferred;
  const TensorType smaller = smaller_blocks(preferred);
  return fits(smaller, columns) ? smaller : TensorType::F16;
}

// Goes through a model's tensors in their order and counts those whose type depends on their place.
class Selection {
 public:
  Selection(Recipe recipe, const ModelTraits& model, std::span<const RecipeTensor> tensors, bool important)
      : recipe_(recipe),
        default_(traits_of(recipe).type),
        model_(model),
        important_(important),
        falcon_(model.architecture == "falcon"),
        eight_experts_(model.experts == 8) {
    for (const RecipeTensor& tensor : tensors) {
      if (tensor.name == "output.weight") tied_ = false;
      if (role_of(tensor.name) == Role::AttentionValue) ++values_;
    }
  }

  TensorType next(const RecipeTensor& tensor) {
    if (!is_quantized(tensor)) return tensor.type;
    return fitting_type(preferred_type(tensor), tensor.dimensions[0]);
  }

 private:
  TensorType preferred_type(const RecipeTensor& tensor) {
    switch (role_of(tensor.name)) {
      case Role::Output:
        return output_type(tensor);
      case Role::TokenEmbedding:
        return tied_ ? output_type(tensor) : default_;
      case Role::AttentionValue:
        return value_type();
      case Role::AttentionKey:
        return eight_experts_ ? TensorType::Q8_0 : default_;
      case Role::AttentionOutput:
        return attention_output_type();
      case Role::Down:
        return down_type(tensor);
      case Role::GateOrUp:
        if (model_.experts > 1) expert_layer(tensor);
        return default_;
      case Role::Other:
        break;
    }
    return default_;
  }

  TensorType output_type(const RecipeTensor& tensor) const {
    if (falcon_ || !fits(default_, tensor.dimensions[0])) return TensorType::Q8_0;
    return default_ == TensorType::Q8_0 ? TensorType::Q8_0 : TensorType::Q6_K;
  }

  TensorType value_type() {
    const int index = values_seen_++;
    if (eight_experts_) return TensorType::Q8_0;
    const TensorType type = value_type(index);
    const bool few_bits = type == TensorType::Q3_K || type == TensorType::Q4_K;
    return few_bits && has_small_values(model_) ? TensorType::Q5_K : type;
  }

  TensorType value_type(int index) const {
    switch (recipe_) {
      case Recipe::Q4_K_M:
      case Recipe::Q5_K_M:
        return gets_more_bits(index, values_) ? TensorType::Q6_K : default_;
      case Recipe::Q4_K_S:
        return index < 4 ? TensorType::Q5_K : default_;
      case Recipe::Q3_K_M:
        return index < 2 ? TensorType::Q5_K : TensorType::Q4_K;
      case Recipe::IQ4_XS:
        return model_.kv_heads != 0 && model_.heads / model_.kv_heads >= 4 ? TensorType::Q5_K : default_;
      default:
        return default_;
    }
  }

  TensorType attention_output_type() const {
    if (falcon_) return default_;
    if (!eight_experts_) return recipe_ == Recipe::Q3_K_M ? TensorType::Q4_K : default_;
    switch (recipe_) {
      case Recipe::Q4_K_M:
      case Recipe::Q4_K_S:
      case Recipe::IQ4_XS:
      case Recipe::Q3_K_M:
        return TensorType::Q5_K;
      default:
        return default_;
    }
  }

  TensorType down_type(const RecipeTensor& tensor) {
    const auto layers = static_cast<int>(model_.layers);
    const int index = downs_seen_++;
    const int layer = model_.experts > 1 ? expert_layer(tensor) : index;
    const bool more = gets_more_bits(layer, layers);
    const bool early = layer < layers / 8;
    switch (recipe_) {
      case Recipe::Q5_K_M:
        return more ? TensorType::Q6_K : default_;
      case Recipe::Q4_K_M:
        if (falcon_ && layer >= layers / 16) return more ? TensorType::Q5_K : default_;
        return more || falcon_ ? TensorType::Q6_K : default_;
      case Recipe::Q4_K_S:
        return early && !falcon_ ? TensorType::Q5_K : default_;
      case Recipe::Q4_0:
        return early && important_ ? TensorType::Q4_1 : default_;
      case Recipe::IQ4_XS:
        return early && !important_ ? TensorType::Q5_K : default_;
      case Recipe::Q3_K_M:
        if (layer < layers / 16) return TensorType::Q5_K;
        return more || !falcon_ ? TensorType::Q4_K : default_;
      default:
        return default_;
    }
  }

  // Experts may have a tensor each, in any order, so that counting them does not tell the layer.
  int expert_layer(const RecipeTensor& tensor) const {
    const int layer = layer_of(tensor.name);
    if (layer < 0 || std::cmp_greater_equal(layer, model_.layers)) {
      throw UnsupportedModel("tensor " + gguf::quoted(tensor.name) + " is of none of the model's " +
                             std::to_string(model_.layers) + " layers");
    }
    return layer;
  }

  Recipe recipe_;
  TensorType default_;
  const ModelTraits& model_;
  bool important_;
  bool falcon_;
  bool eight_experts_;
  bool tied_ = true;
  int values_ = 0;
  int values_seen_ = 0;
  int downs_seen_ = 0;
};

// A count for the whole model, or the first layer's of an array.
std::size_t head_count(const gguf::File& file, const std::string& key, std::size_t otherwise) {
  const gguf::Value* value = file.find(key);
  if (value == nullptr) return otherwise;
  if (!std::holds_alternative<gguf::ArrayView>(*value)) return file.unsigned_integer(key).value_or(otherwise);
  const std::vector<std::int64_t> counts = file.array(key)->integers();
  if (counts.empty() || counts[0] < 0) throw gguf::MalformedFile("key " + gguf::quoted(key) + " holds no counts");
  return static_cast<std::size_t>(counts[0]);
}

}  // namespace

std::optional<Recipe> find_recipe(std::string_view name) {
  const auto* const found = std::ranges::find(kRecipes, name, &RecipeTraits::name);
  if (found == kRecipes.end()) return std::nullopt;
  return found->recipe;
}

std::uint32_t file_type(Recipe recipe) { return traits_of(recipe).file_type; }

ModelTraits read_model_traits(const gguf::File& file) {
  const auto architecture = file.string("general.architecture");
  if (!architecture) throw gguf::MalformedFile("key 'general.architecture' is missing");
  ModelTraits model;
  model.architecture = *architecture;
  const auto layers = file.unsigned_integer(model.architecture + ".block_count");
  if (!layers || *layers == 0 || *layers > 65536) {
    throw gguf::MalformedFile("key " + gguf::quoted(model.architecture + ".block_count") +
                              " is missing, 0 or beyond 65536");
  }
  model.layers = *layers;
  model.experts = file.unsigned_integer(model.architecture + ".expert_count").value_or(0);
  model.heads = head_count(file, model.architecture + ".attention.head_count", 0);
  model.kv_heads = head_count(file, model.architecture + ".attention.head_count_kv", model.heads);
  return model;
}

bool recipe_precedes(std::string_view left, std::string_view right) {
  const int left_layer = layer_of(left);
  const int right_layer = layer_of(right);
  return left_layer != right_layer ? left_layer < right_layer : left < right;
}

bool is_embedding(std::string_view tensor) {
  return tensor == "token_embd.weight" || tensor == "per_layer_token_embd.weight";
}

std::vector<TensorType> target_types(Recipe recipe, const ModelTraits& model, std::span<const RecipeTensor> tensors,
                                     bool important) {
  Selection selection(recipe, model, tensors, important);
  std::vector<TensorType> types;
  types.reserve(tensors.size());
  for (const RecipeTensor& tensor : tensors) types.push_back(selection.next(tensor));
  return types;
}

}  // namespace engine::quant
