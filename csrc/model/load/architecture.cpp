#include "model/load/architecture.h"

#include <algorithm>
#include <array>

namespace engine::model {

std::span<const Architecture* const> architectures() {
  static constexpr std::array kAll{
      &kArcee,    &kBert,       &kCohere2,      &kCommandR,       &kDeepseek2, &kErnie45,   &kErnie45Moe, &kExaone4,
      &kGemma,    &kGemma2,     &kGemma3,       &kGemmaEmbedding, &kGlm4,      &kGlm4Moe,   &kGpt2,       &kGptOss,
      &kGranite,  &kGraniteMoe, &kHunyuanDense, &kLfm2,           &kLfm2Moe,   &kLlama,     &kMistral3,   &kNomicBert,
      &kOlmo2,    &kOlmoe,      &kPhi2,         &kPhi3,           &kQwen2,     &kQwen2Moe,  &kQwen2Vl,    &kQwen3,
      &kQwen3Moe, &kQwen3Vl,    &kQwen3VlMoe,   &kSeedOss,        &kSmollm3,   &kStarcoder2};
  return kAll;
}

const Architecture* find_architecture(std::string_view name) {
  const auto all = architectures();
  const auto found = std::ranges::find(all, name, [](const Architecture* a) { return a->name; });
  return found == all.end() ? nullptr : *found;
}

}  // namespace engine::model
