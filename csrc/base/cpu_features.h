#pragma once

#include <string>

namespace engine {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C, and the system saves ymm registers
  bool avx_vnni = false;     // AVX-VNNI, 256 bits wide, beside these
  bool avx512_vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI beside these, and the system saves zmm registers
};

// What this processor has and the operating system permits.
const CpuFeatures& cpu_features();

// The processor's own name, as CPUID gives it.
std::string cpu_model();

}  // namespace engine
