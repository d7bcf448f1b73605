#include "kernels/integer_peak.h"

#include <array>

#include "kernels/avx2/kernels.h"
#include "kernels/avx512/kernels.h"
#include "kernels/avx_vnni/kernels.h"

namespace engine::kernels {

std::string IntegerPeak::unavailable() const { return cpu_feature(needs).unavailable; }

std::span<const IntegerPeak> integer_peaks() {
  static constexpr std::array<IntegerPeak, 3> kPeaks{{
      {"vpmaddubsw ymm, vpaddw ymm", CpuFeature::Avx2, avx2::multiply_byte_pairs},
      {"vpdpbusd ymm", CpuFeature::AvxVnni, avx_vnni::multiply_byte_quads},
      {"vpdpbusd zmm", CpuFeature::Avx512Vnni, avx512::multiply_byte_quads},
  }};
  return kPeaks;
}

}  // namespace engine::kernels
