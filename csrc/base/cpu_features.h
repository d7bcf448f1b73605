#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace engine {

// What code beyond the x86-64 baseline may need; cpu_features.cpp lists it.
struct CpuFeatureState {
  std::string_view name;    // such as avx2
  bool present;             // the processor has it and the system saves its registers
  std::string unavailable;  // why this process must not use it; empty where it may
};

// ENGINE_CPU_FEATURES is not "none" or a list of features' names.
struct UnknownCpuFeature : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Every feature. Asked of the processor once. The environment variable ENGINE_CPU_FEATURES
// masks the answer: where it is set and not empty, only the features that it names (separated by commas; "none" names
// none) may be used, those of them that the processor has. Throws UnknownCpuFeature.
std::span<const CpuFeatureState> cpu_features();
// Throws std::invalid_argument for an unknown name.
const CpuFeatureState& cpu_feature(std::string_view name);

// The processor's own name, as CPUID gives it.
std::string cpu_model();

}  // namespace engine
