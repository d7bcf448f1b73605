#include "model/hyper_parameters.h"

#include <cmath>

namespace engine::model {
namespace {

// Far beyond any model; keeps every product of two sizes within 64 bits.
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 28;

class Keys {
 public:
  Keys(const gguf::File& file, std::string architecture) : file_(file), architecture_(std::move(architecture)) {}

  std::string name(std::string_view key) const { return architecture_ + "." + std::string(key); }

  std::size_t size(std::string_view key) const {
    const auto value = file_.unsigned_integer(name(key));
    if (!value) throw gguf::MalformedFile("key '" + name(key) + "' is missing");
    return checked(key, *value);
  }

  std::size_t size_or(std::string_view key, std::size_t fallback) const {
    const auto value = file_.unsigned_integer(name(key));
    return value ? checked(key, *value) : fallback;
  }

  double number_or(std::string_view key, double fallback) const {
    const double value = file_.number(name(key)).value_or(fallback);
    if (!std::isfinite(value)) throw gguf::MalformedFile("key '" + name(key) + "' is not a finite number");
    return value;
  }

  double positive_number(std::string_view key) const {
    const auto value = file_.number(name(key));
    if (!value) throw gguf::MalformedFile("key '" + name(key) + "' is missing");
    if (!std::isfinite(*value) || *value <= 0) throw gguf::MalformedFile("key '" + name(key) + "' is not positive");
    return *value;
  }

  void refuse_unless(std::string_view key, std::string_view only) const {
    const auto value = file_.string(name(key));
    if (value && *value != only) {
      throw UnsupportedModel("'" + name(key) + "' is " + gguf::quoted(*value) + ", which this engine does not have");
    }
  }

 private:
  std::size_t checked(std::string_view key, std::uint64_t value) const {
    if (value == 0 || value > kMaxSize) {
      throw gguf::MalformedFile("key '" + name(key) + "' is " + std::to_string(value) + ", not between 1 and " +
                                std::to_string(kMaxSize));
    }
    return value;
  }

  const gguf::File& file_;
  std::string architecture_;
};

void read_attention(const Keys& keys, HyperParameters& h) {
  h.heads = keys.size("attention.head_count");
  h.kv_heads = keys.size_or("attention.head_count_kv", h.heads);
  h.head_dim = keys.size_or("attention.key_length", h.embedding / h.heads);
  if (h.heads % h.kv_heads != 0) throw gguf::MalformedFile("the head count is not a multiple of the KV head count");
  if (h.head_dim == 0) throw gguf::MalformedFile("the heads are wider than the embedding");
  if (keys.size_or("attention.value_length", h.head_dim) != h.head_dim) {
    throw UnsupportedModel("values of another width than keys");
  }
  h.rope_dimensions = keys.size_or("rope.dimension_count", h.head_dim);
  if (h.rope_dimensions > h.head_dim || h.rope_dimensions % 2 != 0) {
    throw gguf::MalformedFile("key '" + keys.name("rope.dimension_count") + "' does not fit the head width");
  }
  const double scale = keys.number_or("attention.scale", 0.0);
  h.attention_scale = static_cast<float>(scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(h.head_dim)));
}

}  // namespace

HyperParameters read_hyper_parameters(const gguf::File& file) {
  const auto architecture = file.string("general.architecture");
  if (!architecture) throw gguf::MalformedFile("key 'general.architecture' is missing");
  const Keys keys(file, std::string(*architecture));
  HyperParameters h;
  h.architecture = *architecture;
  h.layers = keys.size("block_count");
  h.embedding = keys.size("embedding_length");
  h.feed_forward = keys.size("feed_forward_length");
  h.context_length = keys.size("context_length");
  h.norm_epsilon = static_cast<float>(keys.positive_number("attention.layer_norm_rms_epsilon"));
  read_attention(keys, h);
  h.rope_base = keys.number_or("rope.freq_base", 10000.0);
  if (h.rope_base <= 0) throw gguf::MalformedFile("key '" + keys.name("rope.freq_base") + "' is not positive");
  keys.refuse_unless("rope.scaling.type", "none");
  if (file.unsigned_integer(keys.name("expert_count")).value_or(0) != 0) {
    throw UnsupportedModel("mixture of experts ('" + keys.name("expert_count") + "')");
  }
  const gguf::TensorInfo* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) throw gguf::MalformedFile("tensor 'token_embd.weight' is missing: the file has no weights");
  h.vocabulary = embedding->rows();
  return h;
}

}  // namespace engine::model
