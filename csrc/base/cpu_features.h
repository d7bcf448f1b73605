#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace engine {

// What code beyond the x86-64 baseline may need.
enum class CpuFeature : std::uint8_t {
  Avx2,        // AVX2, FMA and F16C, and the system saves ymm registers
  AvxVnni,     // VNNI on ymm registers, encoded without AVX-512, beside Avx2
  Avx512Vnni,  // AVX-512 F, BW, DQ, VL and VNNI beside Avx2, and the system saves zmm registers
  // AMX tiles and their 8-bit products, and the system can save tiles. It does so only for a process that has asked it
  // to (ARCH_REQ_XCOMP_PERM), which nothing here has.
  AmxInt8,
};

struct CpuFeatureState {
  std::string_view name;    // avx2, avx_vnni, avx512_vnni, amx_int8
  bool present;             // the processor has it and the system saves its registers
  std::string unavailable;  // why this process must not use it; empty where it may
};

// ENGINE_CPU_FEATURES is not "none" or a list of features' names.
struct UnknownCpuFeature : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Every feature, in the order of CpuFeature. Asked of the processor once. The environment variable ENGINE_CPU_FEATURES
// masks the answer: where it is set and not empty, only the features that it names (separated by commas; "none" names
// none) may be used, those of them that the processor has. Throws UnknownCpuFeature.
std::span<const CpuFeatureState> cpu_features();
const CpuFeatureState& cpu_feature(CpuFeature feature);

// The processor's own name, as CPUID gives it.
std::string cpu_model();

}  // namespace engine
