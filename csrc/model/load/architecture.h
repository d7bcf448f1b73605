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
  NormKind norm = NormKind::Rms;
  // Files may bring layers behind the others that guess tokens further ahead, which are not run.
  bool guesses_ahead = false;
  // Completes the shape, of which the sizes, scales and rotation that all families share have been read.
  void (*describe)(const Keys& keys, HyperParameters& shape);
};

std::span<const Architecture* const> architectures();
// nullptr for an unknown name.
const Architecture* find_architecture(std::string_view name);

// Each is defined in a file of its own under architectures/.
extern const Architecture kArcee;
extern const Architecture kBert;
extern const Architecture kCohere2;
extern const Architecture kCommandR;
extern const Architecture kDeepseek2;
extern const Architecture kErnie45;
extern const Architecture kErnie45Moe;
extern const Architecture kExaone4;
extern const Architecture kGemma;
extern const Architecture kGemma2;
extern const Architecture kGemma3;
extern const Architecture kGemmaEmbedding;
extern const Architecture kGlm4;
extern const Architecture kGlm4Moe;
extern const Architecture kGpt2;
extern const Architecture kGptOss;
extern const Architecture kGranite;
extern const Architecture kGraniteMoe;
extern const Architecture kHunyuanDense;
extern const Architecture kLfm2;
extern const Architecture kLfm2Moe;
extern const Architecture kLlama;
extern const Architecture kMistral3;
extern const Architecture kNomicBert;
extern const Architecture kOlmo2;
extern const Architecture kOlmoe;
extern const Architecture kPhi2;
extern const Architecture kPhi3;
extern const Architecture kQwen2;
extern const Architecture kQwen2Moe;
extern const Architecture kQwen2Vl;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;
extern const Architecture kQwen3Vl;
extern const Architecture kQwen3VlMoe;
extern const Architecture kSeedOss;
extern const Architecture kSmollm3;
extern const Architecture kStarcoder2;

}  // namespace engine::model
