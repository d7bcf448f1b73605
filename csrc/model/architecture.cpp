#include "model/architecture.h"

#include <algorithm>
#include <array>

namespace engine::model {

std::span<const Architecture* const> architectures() {
  static constexpr std::array<const Architecture*, 2> kAll{&kLlama, &kQwen2};
  return kAll;
}

const Architecture* find_architecture(std::string_view name) {
  const auto all = architectures();
  const auto found = std::ranges::find(all, name, [](const Architecture* a) { return a->name; });
  return found == all.end() ? nullptr : *found;
}

}  // namespace engine::model
