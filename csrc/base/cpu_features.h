#pragma once

#include <string>

namespace engine {

struct CpuFeatures {
  bool avx2 = false;         // AVX2, FMA and F16C, and the system saves ymm registers
  bool avx_vnni = false;     // VNNI on ymm registers, encoded without AVX-512, beside these
  bool avx512_vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI beside AVX2, and the system saves zmm registers
  // AMX tiles and their 8-bit products, and the system can save tiles. It does so only for a process that has asked it
  // to (ARCH_REQ_XCOMP_PERM), which nothing here has.
  bool amx_int8 = false;
};

// What this processor has and the operating system permits.
const CpuFeatures& cpu_features();

// The processor's own name, as CPUID gives it.
std::string cpu_model();

}  // namespace engine
