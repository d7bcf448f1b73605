#include "base/cpu_features.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

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

constexpr bool has_all(std::uint64_t set, std::uint64_t bits) { return (set & bits) == bits; }
constexpr std::uint64_t bit(int index) { return std::uint64_t{1} << index; }

// Places in the lists below.
constexpr std::size_t kAvx2 = 0;     // AVX2, FMA and F16C, and the system saves ymm registers
constexpr std::size_t kAvxVnni = 1;  // VNNI on ymm registers, encoded without AVX-512, beside kAvx2
constexpr std::size_t kAvx512Vnni =
    2;  // AVX-512 F, BW, DQ, VL and VNNI beside kAvx2, and the system saves zmm registers
// AMX tiles and their 8-bit products beside kAvx512Vnni, and the system can save tiles.
constexpr std::size_t kAmxInt8 = 3;
constexpr std::size_t kCount = 4;

constexpr std::array<std::string_view, kCount> kNames{"avx2", "avx_vnni", "avx512_vnni", "amx_int8"};
// What a processor or its system lacks where it lacks the feature.
constexpr std::array<std::string_view, kCount> kContents{"AVX2, FMA or F16C", "AVX-VNNI",
                                                         "AVX-512 F, BW, DQ, VL or VNNI",
                                                         "AVX-512 with VNNI, AMX tiles or their 8-bit products"};

std::array<bool, kCount> detect() {
  const Registers basic = cpuid(1);
  const Registers extended = cpuid(7);
  // Leaf 7 says in eax which further parts it has.
  const Registers further = extended.eax >= 1 ? cpuid(7, 1) : Registers{};
  constexpr std::uint64_t kOsxsave = bit(27);
  const std::uint64_t saved = has_all(basic.ecx, kOsxsave) ? enabled_register_state() : 0;

  constexpr std::uint64_t kXmmAndYmm = bit(1) | bit(2);
  constexpr std::uint64_t kFmaAndF16c = bit(12) | bit(29);
  constexpr std::uint64_t kAvx2Itself = bit(5);
  std::array<bool, kCount> present{};
  const bool avx2 = has_all(saved, kXmmAndYmm) && has_all(basic.ecx, kFmaAndF16c) && has_all(extended.ebx, kAvx2Itself);
  present[kAvx2] = avx2;

  constexpr std::uint64_t kYmmVnni = bit(4);
  present[kAvxVnni] = avx2 && has_all(further.eax, kYmmVnni);

  constexpr std::uint64_t kMasksAndZmm = bit(5) | bit(6) | bit(7);
  constexpr std::uint64_t kFoundation = bit(16);
  constexpr std::uint64_t kDoubleAndQuad = bit(17);
  constexpr std::uint64_t kByteAndWord = bit(30);
  constexpr std::uint64_t kVectorLength = bit(31);
  constexpr std::uint64_t kVnni = bit(11);
  present[kAvx512Vnni] = avx2 && has_all(saved, kMasksAndZmm) &&
                         has_all(extended.ebx, kFoundation | kDoubleAndQuad | kByteAndWord | kVectorLength) &&
                         has_all(extended.ecx, kVnni);

  constexpr std::uint64_t kTileConfigAndData = bit(17) | bit(18);
  constexpr std::uint64_t kTilesAndInt8 = bit(24) | bit(25);
  present[kAmxInt8] =
      present[kAvx512Vnni] && has_all(saved, kTileConfigAndData) && has_all(extended.edx, kTilesAndInt8);
  return present;
}

// Asks the system to keep tiles for this process. Why it does not; empty where it does.
std::string ask_for_tiles() {
  constexpr long kRequest = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;     // XFEATURE_XTILEDATA
  if (syscall(SYS_arch_prctl, kRequest, kTileData) == 0) return "";
  return std::string("the system keeps no AMX tiles for this process: ") + std::strerror(errno);
}

constexpr const char* kVariable = "ENGINE_CPU_FEATURES";

constexpr std::string_view without_spaces_around(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(part);
  return text;
}

[[noreturn]] void refuse(std::string_view name) {
  std::string message = joined({kVariable, " names '", name, "'; give none, or some of"});
  for (const std::string_view known : kNames) message.append(joined({known == kNames[0] ? " " : ", ", known}));
  throw UnknownCpuFeature(message);
}

// Which features may be used, where the processor has them.
std::array<bool, kCount> allowed_by(std::string_view list) {
  std::array<bool, kCount> allowed{};
  list = without_spaces_around(list);
  if (list.empty()) allowed.fill(true);
  if (list.empty() || list == "none") return allowed;
  for (bool more = true; more;) {
    const std::size_t comma = list.find(',');
    const std::string_view name = without_spaces_around(list.substr(0, comma));
    const auto known = std::ranges::find(kNames, name);
    if (known == kNames.end()) refuse(name);
    allowed[static_cast<std::size_t>(known - kNames.begin())] = true;
    more = comma != std::string_view::npos;
    if (more) list.remove_prefix(comma + 1);
  }
  return allowed;
}

std::array<CpuFeatureState, kCount> describe(const std::array<bool, kCount>& present,
                                             const std::array<bool, kCount>& allowed) {
  std::array<CpuFeatureState, kCount> states{};
  for (std::size_t i = 0; i < kCount; ++i) {
    states[i] = {kNames[i], present[i], ""};
    // Kernels for AVX-VNNI and AVX-512 stand beside those for AVX2, kernels for AMX beside those for AVX-512.
    std::size_t left_out = i;
    if (allowed[i] && i == kAmxInt8 && !allowed[kAvx512Vnni]) left_out = kAvx512Vnni;
    if (allowed[i] && !allowed[kAvx2]) left_out = kAvx2;
    if (!present[i]) {
      states[i].unavailable = joined({"the processor or its system lacks ", kContents[i]});
    } else if (!allowed[left_out]) {
      states[i].unavailable = joined({kVariable, " leaves out ", kNames[left_out]});
    } else if (i == kAmxInt8) {
      states[i].unavailable = ask_for_tiles();
    }
  }
  return states;
}

}  // namespace

std::span<const CpuFeatureState> cpu_features() {
  static const std::array<CpuFeatureState, kCount> states = [] {
    const char* list = std::getenv(kVariable);
    return describe(detect(), allowed_by(list == nullptr ? "" : list));
  }();
  return states;
}

const CpuFeatureState& cpu_feature(std::string_view name) {
  const auto features = cpu_features();
  const auto found = std::ranges::find(features, name, &CpuFeatureState::name);
  if (found == features.end()) throw std::invalid_argument(joined({"CPU feature '", name, "'"}));
  return *found;
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
