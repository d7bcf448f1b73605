#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"
#include "gguf/tensor_type.h"

// Which type every tensor of a model gets, by the rules of the GGUF ecosystem.
namespace engine::quant {

enum class Recipe { Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_K_S, Q4_0, IQ4_XS, Q3_K_M };

// The recipe of a name in lower case; nullopt for any other name.
std::optional<Recipe> find_recipe(std::string_view name);
// The value of general.file_type.
std::uint32_t file_type(Recipe recipe);

struct ModelTraits {
  std::string architecture;
  std::size_t layers = 0;
  std::size_t experts = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
};
// Throws MalformedFile.
ModelTraits read_model_traits(const gguf::File& file);

struct RecipeTensor {
  std::string_view name;
  gguf::TensorType type;
  std::span<const std::uint64_t> dimensions;  // the contiguous dimension first
};

// Whether `left` comes before `right` in a quantized file, and is counted before it: tensors of no layer first, then by
// layer, then by name.
bool recipe_precedes(std::string_view left, std::string_view right);

// Whether rows are the vectors of tokens.
bool is_embedding(std::string_view tensor);

// One type for each of `tensors`, which stand in the order of recipe_precedes(). A tensor that is not quantized keeps
// its own. `important`: whether an importance matrix is at hand, which some recipes heed. Throws UnsupportedModel where
// an expert's layer cannot be told from its tensor's name.
std::vector<gguf::TensorType> target_types(Recipe recipe, const ModelTraits& model,
                                           std::span<const RecipeTensor> tensors, bool important);

}  // namespace engine::quant
