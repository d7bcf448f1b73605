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

constexpr bool has_all(std::uint64_t set, std::uint64_t wanted) { return (set & wanted) == wanted; }
constexpr std::uint64_t bit(int index) { return std::uint64_t{1} << index; }

CpuFeatures detect() {
  const Registers basic = cpuid(1);
  const Registers extended = cpuid(7);
  // Leaf 7 says in eax which further parts it has.
  const Registers further = extended.eax >= 1 ? cpuid(7, 1) : Registers{};
  constexpr std::uint64_t kOsxsave = bit(27);
  const std::uint64_t saved = has_all(basic.ecx, kOsxsave) ? enabled_register_state() : 0;

  constexpr std::uint64_t kXmmAndYmm = bit(1) | bit(2);
  constexpr std::uint64_t kFmaAndF16c = bit(12) | bit(29);
  constexpr std::uint64_t kAvx2 = bit(5);
  CpuFeatures features;
  features.avx2 = has_all(saved, kXmmAndYmm) && has_all(basic.ecx, kFmaAndF16c) && has_all(extended.ebx, kAvx2);

  constexpr std::uint64_t kAvxVnni = bit(4);
  features.avx_vnni = features.avx2 && has_all(further.eax, kAvxVnni);

  constexpr std::uint64_t kMasksAndZmm = bit(5) | bit(6) | bit(7);
  constexpr std::uint64_t kFoundation = bit(16);
  constexpr std::uint64_t kDoubleAndQuad = bit(17);
  constexpr std::uint64_t kByteAndWord = bit(30);
  constexpr std::uint64_t kVectorLength = bit(31);
  constexpr std::uint64_t kVnni = bit(11);
  features.avx512_vnni = features.avx2 && has_all(saved, kMasksAndZmm) &&
                         has_all(extended.ebx, kFoundation | kDoubleAndQuad | kByteAndWord | kVectorLength) &&
                         has_all(extended.ecx, kVnni);

  constexpr std::uint64_t kTileConfigAndData = bit(17) | bit(18);
  constexpr std::uint64_t kTilesAndInt8 = bit(24) | bit(25);
  features.amx_int8 = has_all(saved, kTileConfigAndData) && has_all(extended.edx, kTilesAndInt8);
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
