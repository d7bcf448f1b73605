#include "kernels/avx_vnni/table.h"

#include "base/cpu_features.h"
#include "kernels/avx2/table.h"

namespace engine::kernels::avx_vnni {

const KernelTable& table() {
  static const KernelTable instance = [] {
    KernelTable table = avx2::table();
    table.name = "cpu_avx_vnni";
    table.unavailable = [] {
      return std::string(cpu_features().avx_vnni ? "" : "the processor or its system lacks AVX-VNNI");
    };
    table.multiply = multiply;
    return table;
  }();
  return instance;
}

}  // namespace engine::kernels::avx_vnni
