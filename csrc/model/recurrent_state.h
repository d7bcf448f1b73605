#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "model/load/hyper_parameters.h"

namespace engine::model {

// The state of a model's recurrent layers behind one sequence's positions so far, in floats. A step reads the state
// behind its first position and writes the one behind its last beside it, so that a step that was not finished can be
// run again, with as many rows or with others.
class RecurrentState {
 public:
  explicit RecurrentState(const HyperParameters& shape);

  // Both states of one sequence; 0 where no layer is recurrent.
  static std::size_t bytes(const HyperParameters& shape);

  std::size_t bytes() const { return states_[0] ? 2 * states_[0]->size() : 0; }
  // Makes room for both states. Throws std::bad_alloc.
  void reserve();

  // Begins a step of positions from `first` on, 0 or the one behind the last step that was finished. Throws
  // std::invalid_argument for another.
  void begin(std::size_t first);
  // Ends it behind `count` positions.
  void finish(std::size_t count);
  // A state of its own that goes on from there. Throws std::bad_alloc.
  RecurrentState fork() const;

  // The state that a layer reads in this step, and the one it has to write, [RecurrentShape::layer_floats].
  const float* before(std::size_t layer) const { return states_[current_]->as<float>() + place(layer); }
  float* after(std::size_t layer) const { return states_[1 - current_]->as<float>() + place(layer); }

 private:
  std::size_t place(std::size_t layer) const { return places_[layer] * layer_floats_; }

  std::size_t layer_floats_;
  std::size_t layers_ = 0;           // that are recurrent
  std::vector<std::size_t> places_;  // [layers] among those that are recurrent
  std::array<std::shared_ptr<AlignedBuffer>, 2> states_;
  std::size_t current_ = 0;
  std::size_t positions_ = 0;  // behind which the current one is
};

}  // namespace engine::model
