#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "model/load/hyper_parameters.h"
#include "model/load/keys.h"

namespace engine::model {

// One family of models: what of the common decoder (decoder_layer.h) it has, and how it spells its settings.
struct Architecture {
  std::string_view name;  // general.architecture
  // Completes the shape, of which the sizes, scales and rotation that all families share have been read.
  void (*describe)(const Keys& keys, HyperParameters& shape);
};

std::span<const Architecture* const> architectures();
// nullptr for an unknown name.
const Architecture* find_architecture(std::string_view name);

// Each is defined in a file of its own under architectures/.
extern const Architecture kGemma;
extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGranite;
extern const Architecture kLlama;
extern const Architecture kMistral3;
extern const Architecture kOlmo2;
extern const Architecture kOlmoe;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kSmollm3;

}  // namespace engine::model
