#include "base/cpu_features.h"

#include <cpuid.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace engine {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

std::uint64_t enabled_register_state() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
}

CpuFeatures detect() {
  constexpr unsigned kOsxsave = 1u << 27;
  constexpr unsigned kFma = 1u << 12;
  constexpr unsigned kF16c = 1u << 29;
  constexpr unsigned kAvx2 = 1u << 5;
  constexpr std::uint64_t kXmmAndYmm = 0b110;
  const Registers basic = cpuid(1);
  const Registers extended = cpuid(7);
  CpuFeatures features;
  const bool ymm_saved = (basic.ecx & kOsxsave) != 0 && (enabled_register_state() & kXmmAndYmm) == kXmmAndYmm;
  features.avx2 = ymm_saved && (basic.ecx & kFma) != 0 && (basic.ecx & kF16c) != 0 && (extended.ebx & kAvx2) != 0;
  constexpr unsigned kFoundation = 1u << 16;
  constexpr unsigned kDoubleAndQuad = 1u << 17;
  constexpr unsigned kByteAndWord = 1u << 30;
  constexpr unsigned kVectorLength = 1u << 31;
  constexpr unsigned kNeeded = kFoundation | kDoubleAndQuad | kByteAndWord | kVectorLength;
  constexpr unsigned kVnni = 1u << 11;
  constexpr unsigned kAvxVnni = 1u << 4;
  features.avx_vnni = features.avx2 && (cpuid(7, 1).eax & kAvxVnni) != 0;
  constexpr std::uint64_t kMasksAndZmm = 0b11100000;
  features.avx512_vnni = features.avx2 && (enabled_register_state() & kMasksAndZmm) == kMasksAndZmm &&
                         (extended.ebx & kNeeded) == kNeeded && (extended.ecx & kVnni) != 0;
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::string cpu_model() {
  std::array<char, 49> name{};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers part = cpuid(0x80000002u + i);
    std::memcpy(name.data() + 16 * i, &part, 16);
  }
  std::string model(name.data());
  model.erase(0, model.find_first_not_of(' '));
  model.erase(model.find_last_not_of(' ') + 1);
  return model;
}

}  // namespace engine
