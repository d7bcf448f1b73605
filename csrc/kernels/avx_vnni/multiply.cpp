#include "kernels/avx_vnni/kernels.h"

namespace engine::kernels::avx_vnni {

void multiply(const Matrix& matrix, const Activations& input, std::size_t token_rows, std::size_t group_begin,
              std::size_t group_end, float* out, std::size_t out_stride, std::byte* scratch) {
  with_type(matrix.type, [&]<gguf::TensorType kType>() {
    multiply_type<kType>(matrix, input, token_rows, group_begin, group_end, out, out_stride, scratch);
  });
}

}  // namespace engine::kernels::avx_vnni
