#include "model/load/architecture.h"

#include <algorithm>
#include <array>

namespace engine::model {

std::span<const Architecture* const> architectures() {
  static constexpr std::array<const Architecture*, 14> kAll{&kGemma,    &kGemma2, &kGemma3,   &kGranite, &kLlama,
                                                            &kMistral3, &kOlmo2,  &kOlmoe,    &kPhi3,    &kQwen2,
                                                            &kQwen2Moe, &kQwen3,  &kQwen3Moe, &kSmollm3};
  return kAll;
}

const Architecture* find_architecture(std::string_view name) {
  const auto all = architectures();
  const auto found = std::ranges::find(all, name, [](const Architecture* a) { return a->name; });
  return found == all.end() ? nullptr : *found;
}

}  // namespace engine::model
