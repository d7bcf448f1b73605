#include "model/load/keys.h"

#include <algorithm>
#include <cmath>

namespace engine::model {
namespace {

// Far beyond any model; keeps every product of two sizes within 64 bits.
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 28;

std::string architecture_of(const gguf::File& file) {
  const auto architecture = file.string("general.architecture");
  if (!architecture) throw gguf::MalformedFile("key 'general.architecture' is missing");
  return std::string(*architecture);
}

}  // namespace

Keys::Keys(const gguf::File& file)
    : file_(file),
      architecture_(architecture_of(file)),
      layers_(file.unsigned_integer(name("block_count")).value_or(0)) {}

std::optional<std::vector<std::int64_t>> Keys::array(std::string_view key) const {
  const gguf::Value* value = file_.find(name(key));
  if (value == nullptr || !std::holds_alternative<gguf::ArrayView>(*value)) return std::nullopt;
  return std::get<gguf::ArrayView>(*value).integers();
}

std::optional<std::uint64_t> Keys::whole_number(std::string_view key) const {
  const auto by_layer = array(key);
  if (!by_layer) return file_.unsigned_integer(name(key));
  require_all_layers(key, by_layer->size());
  return equal_number(key, *by_layer);
}

void Keys::require_all_layers(std::string_view key, std::size_t entries) const {
  if (entries == layers_) return;
  throw gguf::MalformedFile("key '" + name(key) + "' has " + std::to_string(entries) + " entries for " +
                            std::to_string(layers_) + " layers");
}

std::uint64_t Keys::equal_number(std::string_view key, std::span<const std::int64_t> by_layer) const {
  if (by_layer.empty() || std::ranges::any_of(by_layer, [](std::int64_t v) { return v < 0; })) {
    throw gguf::MalformedFile("key '" + name(key) + "' holds no sizes");
  }
  if (std::ranges::any_of(by_layer, [&](std::int64_t v) { return v != by_layer.front(); })) {
    throw UnsupportedModel("'" + name(key) + "' differs from layer to layer");
  }
  return static_cast<std::uint64_t>(by_layer.front());
}

std::size_t Keys::size(std::string_view key) const {
  const auto value = whole_number(key);
  if (!value) throw gguf::MalformedFile("key '" + name(key) + "' is missing");
  return checked(key, *value);
}

std::size_t Keys::size_or(std::string_view key, std::size_t fallback) const {
  const auto value = whole_number(key);
  return value ? checked(key, *value) : fallback;
}

std::size_t Keys::size_or_none(std::string_view key) const {
  const std::uint64_t value = whole_number(key).value_or(0);
  return value == 0 ? 0 : checked(key, value);
}

std::size_t Keys::size_of_layers_with(std::string_view key, std::size_t fallback) const {
  auto by_layer = array(key);
  if (!by_layer) return size_or(key, fallback);
  require_all_layers(key, by_layer->size());
  std::erase(*by_layer, 0);
  return checked(key, equal_number(key, *by_layer));
}

std::vector<bool> Keys::layers_without(std::string_view key, std::size_t layers) const {
  const auto by_layer = array(key);
  std::vector<bool> without(layers, false);
  if (by_layer) require_all_layers(key, by_layer->size());
  for (std::size_t i = 0; by_layer && i < layers; ++i) without[i] = (*by_layer)[i] == 0;
  return without;
}

double Keys::number_or(std::string_view key, double fallback) const {
  const double value = file_.number(name(key)).value_or(fallback);
  if (!std::isfinite(value)) throw gguf::MalformedFile("key '" + name(key) + "' is not a finite number");
  return value;
}

double Keys::positive_number(std::string_view key) const {
  const auto value = file_.number(name(key));
  if (!value) throw gguf::MalformedFile("key '" + name(key) + "' is missing");
  if (!std::isfinite(*value) || *value <= 0) throw gguf::MalformedFile("key '" + name(key) + "' is not positive");
  return *value;
}

double Keys::positive_number_or(std::string_view key, double fallback) const {
  return has(key) ? positive_number(key) : fallback;
}

bool Keys::boolean_or(std::string_view key, bool fallback) const { return file_.boolean(name(key)).value_or(fallback); }

std::string Keys::string_or(std::string_view key, std::string_view fallback) const {
  return std::string(file_.string(name(key)).value_or(fallback));
}

std::optional<std::vector<bool>> Keys::booleans(std::string_view key) const {
  const gguf::Value* value = file_.find(name(key));
  if (value == nullptr || !std::holds_alternative<gguf::ArrayView>(*value)) return std::nullopt;
  const std::vector<std::int64_t> truths = std::get<gguf::ArrayView>(*value).integers();
  require_all_layers(key, truths.size());
  return std::vector<bool>(truths.begin(), truths.end());
}

std::size_t Keys::checked(std::string_view key, std::uint64_t value) const {
  if (value == 0 || value > kMaxSize) {
    throw gguf::MalformedFile("key '" + name(key) + "' is " + std::to_string(value) + ", not between 1 and " +
                              std::to_string(kMaxSize));
  }
  return value;
}

}  // namespace engine::model
