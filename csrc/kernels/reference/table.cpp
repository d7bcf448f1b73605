#include "kernels/reference/table.h"

#include "quant/block.h"

namespace engine::kernels::reference {

const KernelTable& table() {
  static constexpr KernelTable kTable{
      .name = "reference",
      .unavailable = [] { return std::string(); },
      .packed_bytes = [](const Matrix&) { return std::size_t{0}; },
      .pack = [](Matrix&, std::size_t, std::size_t) {},
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
      .quantize_rows = quant::quantize_rows,
      .dequantize = quant::dequantize_row,
  };
  return kTable;
}

}  // namespace engine::kernels::reference
