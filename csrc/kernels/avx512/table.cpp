#include "kernels/avx512/table.h"

#include "base/cpu_features.h"
#include "kernels/avx2/table.h"

namespace engine::kernels::avx512 {

const KernelTable& table() {
  static const KernelTable instance = [] {
    KernelTable table = avx2::table();
    table.name = "cpu_avx512";
    table.unavailable = [] {
      return std::string(
          cpu_features().avx512_vnni ? "" : "the processor or its system lacks AVX-512 F, BW, DQ, VL or VNNI");
    };
    table.multiply = multiply;
    table.attend_f16 = attend_f16;
    table.attend_q8_0 = attend_q8_0;
    table.quantize_rows = quantize_rows;
    return table;
  }();
  return instance;
}

}  // namespace engine::kernels::avx512
