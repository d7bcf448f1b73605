#include "model/forward/forward_pass.h"

#include <cmath>

#include "base/float_environment.h"
#include "model/forward/decoder_layer.h"
#include "model/forward/worker.h"
#include "quant/finite.h"

namespace engine::model {

bool ForwardPass::run(std::span<const Segment> segments, const std::atomic<bool>& abort, OperationClock* clock) {
  step_.plan(segments);
  bool aborted = false;
  const std::vector<Layer>& layers = step_.model.weights().layers;
  step_.team.run([&](unsigned member) {
    const InferenceFloatEnvironment environment;
    Worker worker(step_, member, member == 0 ? clock : nullptr);
    worker.embed();
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (!step_.few_rows()) {  // else the whole step is soon over
        if (member == 0) aborted = abort.load(std::memory_order_relaxed);
        worker.wait();
        if (aborted) return;
      }
      decoder_layer(worker, layers[i], i);
    }
    step_.logits.compute(worker);
  });
  if (clock != nullptr) clock->charge(Operation::Wait);  // until the last member was done
  if (aborted) return false;
  step_.finish();
  check_logits();
  return true;
}

void ForwardPass::check_logits() {
  for (std::size_t i = 0; i < logit_rows(); ++i) {
    if (!step_.logits.finite(i)) step_.non_finite.record(step_.logits.rows()[i], step_.non_finite.output_stage());
  }
}

std::optional<NonFinitePlace> ForwardPass::non_finite(std::size_t begin, std::size_t count) const {
  for (std::size_t row = begin; row < begin + count; ++row) {
    if (const auto stage = step_.non_finite.stage(row)) return place(*stage, row);
  }
  return std::nullopt;
}

std::optional<NonFinitePlace> ForwardPass::non_finite_state(std::size_t row, const float* state) const {
  if (const auto found = non_finite(row, 1)) return found;
  if (!std::isinf(quant::largest_magnitude({state, step_.model.shape().embedding}))) return std::nullopt;
  const std::uint32_t output = step_.non_finite.output_stage();
  return place(std::isnan(state[0]) ? output - 1 : output, row);
}

}  // namespace engine::model
