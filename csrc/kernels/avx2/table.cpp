#include "kernels/avx2/table.h"

#include "base/cpu_features.h"
#include "kernels/panel.h"

namespace engine::kernels::avx2 {

const KernelTable& table() {
  static constexpr KernelTable kTable{
      .name = "cpu_avx2",
      .unavailable =
          [] { return std::string(cpu_features().avx2 ? "" : "the processor or its system lacks AVX2, FMA or F16C"); },
      .packed_bytes = panel_bytes,
      .pack = pack_panels,
      .multiply = multiply,
      .rms_norm = rms_norm,
      .quantize_blocks = quantize_blocks,
      .quantize_super_blocks = quantize_super_blocks,
      .rotate = rotate,
      .half_from_float = half_from_float,
      .quantize_kv = quantize_kv,
      .attend_f16 = attend_f16,
      .attend_q8_0 = attend_q8_0,
      .merge_split = merge_split,
      .silu_multiply = silu_multiply,
      .gelu_multiply = gelu_multiply,
      .soft_cap = soft_cap,
      .softmax = softmax,
      .sum_exponentials = sum_exponentials,
      .compare_logits = compare_logits,
      .quantize_rows = quantize_rows,
      .dequantize = dequantize,
  };
  return kTable;
}

}  // namespace engine::kernels::avx2
