#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "model/weights.h"

namespace engine::model {

class Worker;

// One family of models: how a layer is computed from the blocks that Worker offers.
struct Architecture {
  std::string_view name;  // general.architecture
  void (*layer)(Worker& worker, const Layer& layer, std::size_t index);
};

std::span<const Architecture* const> architectures();
// nullptr for an unknown name.
const Architecture* find_architecture(std::string_view name);

// Each is defined in a file of its own under architectures/.
extern const Architecture kLlama;
extern const Architecture kQwen2;

}  // namespace engine::model
