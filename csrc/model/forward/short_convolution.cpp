#include "model/forward/short_convolution.h"

#include <algorithm>

#include "kernels/kernel_table.h"

namespace engine::model {

ShortConvolution::ShortConvolution(Worker& worker, const Layer& layer, std::size_t index)
    : worker_(worker),
      step_(worker.step()),
      shape_(worker.shape()),
      weights_(layer.convolution),
      index_(index),
      width_(shape_.embedding),
      mine_(worker.columns(weights_.input)),
      window_(shape_.recurrent.taps) {}

void ShortConvolution::compute() {
  project();
  worker_.charge(Operation::Matmul);
  for (std::size_t r = 0; r < step_.rows.size(); ++r) {
    float* gated = projected(r);
    const float* input = gated + 2 * width_;
    for (std::size_t i = mine_.begin; i < mine_.end; ++i) gated[i] *= input[i];
  }
  for (const Step::Stretch& stretch : step_.stretches) {
    convolve(stretch);
    keep(stretch);
  }
  worker_.charge(Operation::Attention);
  worker_.wait();
}

void ShortConvolution::project() const {
  std::size_t place = 0;
  for (const Projection* projection : {&weights_.input_gate, &weights_.output_gate, &weights_.input}) {
    worker_.multiply(*projection, worker_.groups(*projection), step_.rows.size(), projected(0) + place * width_,
                     shape_.recurrent.projected);
    ++place;
  }
}

const float* ShortConvolution::carried(const Step::Stretch& stretch, std::size_t back) const {
  const float* state = stretch.cache->recurrent().before(index_);
  return state + (shape_.recurrent.taps - 1 - back) * width_;
}

void ShortConvolution::convolve(const Step::Stretch& stretch) {
  const std::size_t taps = shape_.recurrent.taps;
  for (std::size_t r = 0; r < stretch.rows; ++r) {
    for (std::size_t k = 0; k < taps; ++k) {
      const std::size_t back = taps - 1 - k;
      window_[k] = mine_.begin + (back <= r ? projected(stretch.first_row + r - back) : carried(stretch, back - r));
    }
    const std::size_t row = stretch.first_row + r;
    float* out = step_.hidden.as<float>() + row * width_ + mine_.begin;
    const float* gate = projected(row) + width_ + mine_.begin;
    const std::size_t count = mine_.end - mine_.begin;
    worker_.kernels().convolve(window_.data(), weights_.taps.data() + mine_.begin, taps, width_, count, out);
    for (std::size_t i = 0; i < count; ++i) out[i] *= gate[i];
  }
}

void ShortConvolution::keep(const Step::Stretch& stretch) const {
  const std::size_t kept = shape_.recurrent.taps - 1;
  float* state = stretch.cache->recurrent().after(index_);
  for (std::size_t k = 0; k < kept; ++k) {
    const std::size_t back = kept - k;  // from the position behind the stretch
    const float* from = back <= stretch.rows ? projected(stretch.first_row + stretch.rows - back)
                                             : carried(stretch, back - stretch.rows);
    std::copy(from + mine_.begin, from + mine_.end, state + k * width_ + mine_.begin);
  }
}

}  // namespace engine::model
