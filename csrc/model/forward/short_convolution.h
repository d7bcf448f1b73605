#pragma once

#include <cstddef>
#include <vector>

#include "base/thread_team.h"
#include "model/forward/worker.h"

namespace engine::model {

// A convolution in place of attention, in a layer that looks back a few positions: of each channel, the input times its
// gate is summed over the newest positions, each with a weight, and the sum gated again. Members own channels, so that
// none waits for another.
class ShortConvolution {
 public:
  ShortConvolution(Worker& worker, const Layer& layer, std::size_t index);

  // hidden = gated sums, from the input; the newest gated inputs go to the state.
  void compute();

 private:
  // Rows of the buffer: gated inputs, then output gates, then inputs.
  float* projected(std::size_t row) const { return step_.recurrent.as<float>() + row * shape_.recurrent.projected; }
  void project() const;
  // The gated input of the position that lies `back` before the stretch.
  const float* carried(const Step::Stretch& stretch, std::size_t back) const;
  void convolve(const Step::Stretch& stretch);
  void keep(const Step::Stretch& stretch) const;

  Worker& worker_;
  Step& step_;
  const HyperParameters& shape_;
  const ConvolutionWeights& weights_;
  std::size_t index_;
  std::size_t width_;
  Range mine_;                        // channels
  std::vector<const float*> window_;  // [taps] gated inputs, the oldest first
};

}  // namespace engine::model
